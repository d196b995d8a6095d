// SPDX-License-Identifier: MIT
#include "doctor/local_port.h"

#include <fmt/format.h>

#include "doctor/stopwatch.h"
#include "forward/port_owner.h"
#include "net/listener.h"

namespace kportal::doctor {
namespace {

// As the system names our processes.
constexpr char const* kOwnName = "kportal-cpp";

std::string endpoints_of(net::Listener const& listener) {
  std::string text;
  for (auto const& endpoint : listener.endpoints()) {
    if (!text.empty()) text += ", ";
    text += endpoint.address().to_string();
  }
  return text;
}

}  // namespace

void examine_local_port(boost::asio::any_io_executor executor, config::ForwardSpec const& spec,
                        Hops& hops) {
  Stopwatch const watch;
  auto const opened = net::Listener::open(std::move(executor), spec.addresses, spec.local_port);
  if (opened.has_value()) {
    std::string const port = spec.local_port == 0 ? "any" : fmt::format("{}", spec.local_port);
    hops.ok(HopName::local_port, watch.took(),
            fmt::format("{} is free on {}", port, endpoints_of(**opened)));
    return;
  }
  if (opened.error().code != Errc::port_in_use) {
    return hops.fail(HopName::local_port, watch.took(), opened.error());
  }
  auto const owner = forward::find_port_owner(spec.addresses, spec.local_port);
  if (owner && owner->process == kOwnName) {
    hops.ok(
        HopName::local_port, watch.took(),
        fmt::format("{} is held by {}, pid {}: it runs", spec.local_port, kOwnName, owner->pid));
    return;
  }
  std::string const holder =
      owner ? fmt::format("{}, pid {}", owner->process, owner->pid)
            : std::string("a process that the system does not show to this user");
  hops.warn(HopName::local_port, watch.took(), fmt::format("{} is taken", spec.local_port),
            fmt::format("{}: it is held by {}. Free it, or take another localPort (auto takes a "
                        "free one)",
                        opened.error().text, holder));
}

}  // namespace kportal::doctor
