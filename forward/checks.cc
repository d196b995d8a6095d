// SPDX-License-Identifier: MIT
#include "forward/checks.h"

#include <algorithm>

#include "base/wakeup.h"

namespace kportal::forward {
namespace {

// The answer to a ping is looked for this often.
constexpr Duration kLook = std::chrono::milliseconds(50);

}  // namespace

// A bad port is left out by the machine.
awaitable<void> Checks::probe(healthcheck::Ticket ticket, config::ProbeMethod method,
                              TimePoint deadline) {
  healthcheck::ProbeVerdict verdict;
  for (bool again = true; again;) {
    tunnels_.tell_writing();
    TimePoint const asked = Clock::now();
    auto const id = machine_.next_to_probe(asked);
    auto const tunnel = id ? tunnels_.find(*id) : nullptr;
    if (!tunnel) co_return;
    // Nothing comes through any of them, and they live while TCP says so: that tells nothing.
    verdict = healthcheck::ProbeVerdict::of_nothing();
    if (machine_.pool().is_stalled(*id, asked)) break;
    verdict = co_await probe_one(tunnel, method, deadline);
    TimePoint const now = Clock::now();
    again = verdict.bad() && now < deadline && machine_.pool().has_good(now);
  }
  checker_.probe_result(id_, ticket, verdict);
}

awaitable<healthcheck::ProbeVerdict> Checks::probe_one(std::shared_ptr<Tunnel> tunnel,
                                                       config::ProbeMethod method,
                                                       TimePoint deadline) {
  auto verdict = co_await tunnel->probe(tunnels_.next_request(), method, deadline);
  if (verdict.unknown) co_return verdict;
  TimePoint const now = Clock::now();
  machine_.probed(tunnel->id(), verdict.good(), now);
  if (verdict.good()) {
    tunnels_.proved_alive(tunnel->id());
  } else if (verdict.error->code == Errc::pod_gone) {
    machine_.pod_gone(tunnel->id(), *verdict.error, now);
    hand_.carry_out();
  }
  co_return verdict;
}

// Any tunnel that answers proves life. Those that cannot answer are not asked, and where none can
// the connections themselves ask TCP, and end if that is silent.
awaitable<void> Checks::ping(healthcheck::Ticket ticket, TimePoint deadline) {
  TimePoint const asked = Clock::now();
  auto tunnels = tunnels_.in_use();
  std::erase_if(tunnels, [](auto const& tunnel) { return tunnel->stalled(); });
  for (auto const& tunnel : tunnels) tunnel->ping();
  bool answered = tunnels.empty();
  for (TimePoint now = asked; !answered && now < deadline; now = Clock::now()) {
    co_await sleep_until(std::min(deadline, now + kLook));
    for (auto const& tunnel : tunnels) {
      if (!tunnel->heard_since(asked)) continue;
      answered = true;
      tunnels_.proved_alive(tunnel->id());
    }
  }
  bool const stalled =
      std::ranges::all_of(tunnels, [](auto const& tunnel) { return tunnel->stalled(); });
  checker_.ping_result(id_, ticket, answered || stalled);
}

}  // namespace kportal::forward
