// SPDX-License-Identifier: MIT
#include "forward/reporter.h"

#include <utility>

#include "base/log.h"

namespace kportal::forward {

using std::chrono::duration_cast;
using std::chrono::milliseconds;

void Reporter::starting() {
  bus_.publish(of_this<events::ForwardStarting>());
}

void Reporter::stopped() {
  tell_due(kNever);
  stopped_ = true;
  bus_.publish(of_this<events::ForwardStopped>());
}

void Reporter::connected(Tunnel const& tunnel, bool refresh) {
  auto connected = of_this<events::ForwardConnected>();
  connected.pod = tunnel.pod();
  connected.transport = tunnel.transport();
  connected.dial = tunnel.dial_time();
  connected.refresh = refresh;
  bus_.publish(std::move(connected));
}

void Reporter::disconnected(MarkDisconnected const& loss) {
  auto disconnected = of_this<events::ForwardDisconnected>();
  disconnected.reason = loss.reason;
  disconnected.message = loss.message;
  disconnected.pod = loss.pod;
  bus_.publish(std::move(disconnected));
}

void Reporter::reconnecting(MarkReconnecting const& attempt) {
  auto reconnecting = of_this<events::ForwardReconnecting>();
  reconnecting.reason = attempt.reason;
  reconnecting.message = attempt.message;
  reconnecting.attempt = attempt.attempt;
  reconnecting.delay = duration_cast<milliseconds>(attempt.delay);
  bus_.publish(std::move(reconnecting));
}

void Reporter::failed(MarkFailed const& failure) {
  auto failed = of_this<events::ForwardFailed>();
  failed.reason = failure.reason;
  failed.message = failure.message;
  bus_.publish(std::move(failed));
}

void Reporter::hung(Overrun const& overrun) {
  auto hung = of_this<events::WatchdogHung>();
  hung.message = to_text(overrun);
  hung.late = duration_cast<milliseconds>(overrun.took);
  log::error("{}: {}: starting that anew", ref_.id, hung.message);
  bus_.publish(std::move(hung));
}

void Reporter::connection_failed(ConnectionFailure failure, TimePoint now) {
  if (!stopped_ && failures_.tell(failure, now)) publish(std::move(failure));
}

void Reporter::tell_due(TimePoint now) {
  for (ConnectionFailure& each : failures_.due(now)) publish(std::move(each));
}

void Reporter::publish(ConnectionFailure failure) {
  auto failed = of_this<events::ConnectionFailed>();
  failed.reason = failure.reason;
  failed.message = std::move(failure.message);
  failed.pod = std::move(failure.pod);
  bus_.publish(std::move(failed));
}

}  // namespace kportal::forward
