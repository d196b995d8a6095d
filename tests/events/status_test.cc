// SPDX-License-Identifier: MIT
#include "events/status.h"

#include <string>
#include <vector>

#include <gtest/gtest.h>

namespace kportal::events {
namespace {

TEST(StatusTest, WordsAreTheContracts) {
  std::vector<std::pair<Status, std::string>> const words = {
      {Status::starting, "Starting"},
      {Status::active, "Active"},
      {Status::reconnecting, "Reconnecting"},
      {Status::error, "Error"},
      {Status::stale, "Stale"},
      {Status::disabled, "Disabled"},
      {Status::idle, "Idle"},
  };
  for (auto const& [status, word] : words) {
    EXPECT_EQ(to_word(status), word);
    EXPECT_EQ(parse_status(word), status);
  }
  EXPECT_EQ(parse_status("active"), std::nullopt);
  EXPECT_EQ(parse_status(""), std::nullopt);
}

struct ReasonCase {
  Reason reason;
  std::string word;
  bool permanent;
};

std::vector<ReasonCase> const& reasons() {
  static std::vector<ReasonCase> const all = {
      {Reason::none, "", false},
      {Reason::port_in_use, "port-in-use", true},
      {Reason::no_such_context, "no-such-context", true},
      {Reason::kubeconfig, "kubeconfig", true},
      {Reason::unauthorized, "unauthorized", true},
      {Reason::auth_plugin, "auth-plugin", true},
      {Reason::forbidden, "forbidden", true},
      {Reason::not_found, "not-found", true},
      {Reason::no_ready_pod, "no-ready-pod", false},
      {Reason::no_such_port, "no-such-port", true},
      {Reason::refused, "refused", false},
      {Reason::probe_failed, "probe-failed", false},
      {Reason::unsupported, "unsupported", true},
      {Reason::tls, "tls", true},
      {Reason::network, "network", false},
      {Reason::timeout, "timeout", false},
      {Reason::server, "server", false},
      {Reason::reset, "reset", false},
      {Reason::pod_gone, "pod-gone", false},
      {Reason::hold_timeout, "hold-timeout", false},
      {Reason::stalled, "stalled", false},
      {Reason::half_close_cut, "half-close-cut", false},
  };
  return all;
}

TEST(ReasonTest, WordsAreTheContracts) {
  for (auto const& expected : reasons()) {
    EXPECT_EQ(to_word(expected.reason), expected.word);
    EXPECT_EQ(parse_reason(expected.word), expected.reason);
  }
  EXPECT_EQ(parse_reason("Network"), std::nullopt);
}

TEST(ReasonTest, PermanentOnesAreTheContracts) {
  for (auto const& expected : reasons()) {
    EXPECT_EQ(is_permanent(expected.reason), expected.permanent) << expected.word;
  }
}

TEST(ReasonTest, EveryErrcHasOne) {
  std::vector<std::pair<Errc, Reason>> const expected = {
      {Errc::closed, Reason::none},
      {Errc::timeout, Reason::timeout},
      {Errc::protocol, Reason::server},
      {Errc::limit, Reason::server},
      {Errc::tls, Reason::tls},
      {Errc::network, Reason::network},
      {Errc::ping_timeout, Reason::timeout},
      {Errc::going_away, Reason::network},
      {Errc::unauthorized, Reason::unauthorized},
      {Errc::auth_plugin, Reason::auth_plugin},
      {Errc::forbidden, Reason::forbidden},
      {Errc::not_found, Reason::not_found},
      {Errc::gone, Reason::server},
      {Errc::server, Reason::server},
      {Errc::upgrade_refused, Reason::server},
      {Errc::kubeconfig, Reason::kubeconfig},
      {Errc::no_such_context, Reason::no_such_context},
      {Errc::no_ready_pod, Reason::no_ready_pod},
      {Errc::no_such_port, Reason::no_such_port},
      {Errc::unsupported, Reason::unsupported},
      {Errc::port_in_use, Reason::port_in_use},
      {Errc::local, Reason::network},
      {Errc::pod_gone, Reason::pod_gone},
      {Errc::pod_refused, Reason::refused},
      {Errc::pod_reset, Reason::reset},
      {Errc::stream_failed, Reason::probe_failed},
      {Errc::half_close_cut, Reason::half_close_cut},
      {Errc::stalled, Reason::stalled},
  };
  for (auto const& [code, reason] : expected) {
    EXPECT_EQ(reason_of(code), reason) << make_error_code(code).message();
  }
  // None is missing above: the next value has no words.
  auto const next = static_cast<Errc>(expected.size() + 1);
  EXPECT_EQ(make_error_code(next).message(), "unknown");
}

}  // namespace
}  // namespace kportal::events
