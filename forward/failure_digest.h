// SPDX-License-Identifier: MIT
// FailureDigest: which failed connections of a forward are told one by one. A client in a loop
// against a port that refuses would flood everybody who listens: past kMaxTold of one reason in a
// window of kWindow they are counted, and told together when the window ends. Pure. Owned by the
// worker.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "base/clock.h"
#include "events/status.h"

namespace kportal::forward {

struct ConnectionFailure {
  events::Reason reason{};
  std::string message;
  std::string pod;
};

class FailureDigest {
 public:
  static constexpr std::size_t kMaxTold = 20;
  static constexpr Duration kWindow = std::chrono::seconds(1);

  // True: to be told now. Else it is counted.
  bool tell(ConnectionFailure const& failure, TimePoint now);
  // What was only counted in the windows that are over at `now`: for each reason the last failure,
  // whose message says of how many it stands.
  std::vector<ConnectionFailure> due(TimePoint now);
  // When due() has something; kNever while nothing is counted.
  TimePoint deadline() const;

 private:
  struct Window {
    TimePoint end{};
    std::size_t told = 0;
    std::uint64_t untold = 0;
    ConnectionFailure last;  // of the untold
  };

  std::map<events::Reason, Window> windows_;
};

}  // namespace kportal::forward
