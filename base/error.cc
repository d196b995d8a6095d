// SPDX-License-Identifier: MIT
#include "base/error.h"

#include <stdexcept>

#include <fmt/format.h>

#include "base/descriptors.h"

namespace kportal {
namespace {

class ErrcCategory final : public boost::system::error_category {
 public:
  char const* name() const noexcept override { return "kportal"; }
  std::string message(int value) const override {
    switch (static_cast<Errc>(value)) {
      case Errc::closed:
        return "closed";
      case Errc::timeout:
        return "timed out";
      case Errc::protocol:
        return "the peer broke the protocol";
      case Errc::limit:
        return "too large";
      case Errc::tls:
        return "TLS failed";
      case Errc::network:
        return "the connection broke";
      case Errc::ping_timeout:
        return "no answer to a ping";
      case Errc::going_away:
        return "the server ended the tunnel";
      case Errc::unauthorized:
        return "unauthorized";
      case Errc::auth_plugin:
        return "the login plugin failed";
      case Errc::forbidden:
        return "forbidden";
      case Errc::not_found:
        return "not found";
      case Errc::gone:
        return "gone";
      case Errc::server:
        return "server failure";
      case Errc::upgrade_refused:
        return "upgrade refused";
      case Errc::kubeconfig:
        return "bad kubeconfig";
      case Errc::no_such_context:
        return "no such context";
      case Errc::no_ready_pod:
        return "no ready pod";
      case Errc::no_such_port:
        return "no such port";
      case Errc::unsupported:
        return "unsupported";
      case Errc::port_in_use:
        return "port in use";
      case Errc::local:
        return "local failure";
      case Errc::pod_gone:
        return "the pod is gone";
      case Errc::pod_refused:
        return "connection refused in the pod";
      case Errc::pod_reset:
        return "connection reset in the pod";
      case Errc::stream_failed:
        return "stream reset";
      case Errc::stalled:
        return "its reader stopped and blocked other connections";
      case Errc::half_close_cut:
        return "the answer was cut after a half-close";
    }
    return "unknown";
  }
};

}  // namespace

boost::system::error_category const& errc_category() noexcept {
  static ErrcCategory const category;
  return category;
}

error_code make_error_code(Errc code) noexcept {
  return {static_cast<int>(code), errc_category()};
}

Error Error::within(std::string_view where) const& {
  Error outer = *this;
  outer.text = fmt::format("{}: {}", where, text);
  return outer;
}

void throw_exception_from_error(Error const& error, boost::source_location const& where) {
  throw std::logic_error(fmt::format("{}:{}: {}", where.file_name(), where.line(), error.text));
}

Error io_error(error_code code, std::string_view what) {
  Errc kind = Errc::network;
  // Categories of higher floors (TLS, WebSocket) map theirs onto ours this way.
  auto const condition = code.default_error_condition();
  if (condition.category() == errc_category()) {
    kind = static_cast<Errc>(condition.value());
  } else if (code == boost::system::errc::address_in_use) {
    kind = Errc::port_in_use;
  } else if (code == boost::system::errc::timed_out) {
    kind = Errc::timeout;
  } else if (lacks_descriptors(code)) {
    kind = Errc::local;
  }
  return {kind, fmt::format("{}: {}", what, cause_of(code))};
}

}  // namespace kportal
