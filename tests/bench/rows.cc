// SPDX-License-Identifier: MIT
#include "tests/bench/rows.h"

namespace kportal::bench {

using namespace std::chrono_literals;

bool Repeats::next() {
  TimePoint const now = Clock::now();
  if (done_ > 0 && now - begin_ > 20s) slow_ = true;
  begin_ = now;
  int const wanted = told_ > 0 ? told_ : slow_ ? 5 : 20;
  return done_++ < wanted;
}

std::vector<RowKind> const& row_kinds() {
  static std::vector<RowKind> const kinds = {
      {"pod-deleted",
       "pod deleted, its replacement Ready about 2 s later, a client asks each 20 ms",
       &measure_pod_deleted},
      {"rollout", "rollout of a Deployment of 3 with surge, a client asks each 20 ms",
       &measure_rollout},
      {"tunnels-reset", "all tunnels reset by the server, the pod alive", &measure_tunnels_reset},
      {"blackhole", "network blackholed for 30 s, nothing closed", &measure_blackhole},
      {"refused", "the pod refuses the port, 50 transfers on the same tunnel", &measure_refused},
      {"stalled-reader", "one reader of 8 stalls for 60 s on a full-speed source",
       &measure_stalled_reader},
      {"stalled-upload", "upload of 64 MiB to a pod that reads after 60 s only",
       &measure_stalled_upload},
      {"api-restart",
       "API server restarted, 10 forwards, half of them by data-transfer, half by tcp-dial",
       &measure_api_restart},
      {"churn", "tunnels lost over and over, 50 forwards", &measure_churn},
  };
  return kinds;
}

}  // namespace kportal::bench
