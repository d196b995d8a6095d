// SPDX-License-Identifier: MIT
#include "doctor/forward_examination.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "doctor/stopwatch.h"
#include "healthcheck/probe.h"
#include "k8s/access_review.h"

namespace kportal::doctor {
namespace {

using std::chrono::microseconds;

// Of the only stream of its tunnel.
constexpr std::uint32_t kRequestId = 1;

awaitable<void> run_connection(net::SpdyConnection& connection) {
  error_code const end = co_await connection.run();
  static_cast<void>(end);
}

}  // namespace

ForwardExamination::ForwardExamination(k8s::Cluster& cluster, config::ForwardSpec const& spec,
                                       config::Reliability const& reliability, Hops& hops)
    : cluster_(cluster),
      spec_(spec),
      reliability_(reliability),
      hops_(hops),
      target_news_(cluster.executor()),
      asking_(cluster.executor()),
      target_tasks_(cluster.executor()),
      tunnel_task_(cluster.executor()) {}

awaitable<void> ForwardExamination::run() {
  co_await ask_rights();
  if (!stopped()) co_await find_pod();
  if (!stopped()) co_await dial();
  if (connection_) co_await probe();
  co_await stop();
}

awaitable<void> ForwardExamination::stop() {
  if (connection_) connection_->close();
  asking_.cancel();
  target_tasks_.cancel();
  tunnel_task_.cancel();
  co_await asking_.join();
  co_await target_tasks_.join();
  co_await tunnel_task_.join();
  target_.reset();
}

// All at once; they are asked once for each forward, which is cheap beside its tunnel.
awaitable<void> ForwardExamination::ask_rights() {
  Stopwatch const watch;
  for (Right& right : rights_for(spec_.target.kind)) answers_.emplace_back(std::move(right));
  for (Answer& answer : answers_) asking_.spawn(ask_right(answer, watch.deadline()));
  co_await asking_.join();
  std::vector<Right> denied;
  for (Answer const& answer : answers_) {
    if (answer.error) {
      hops_.warn(HopName::rights, watch.took(), "", "cannot be asked for: " + answer.error->text);
      co_return;
    }
    if (!answer.allowed) denied.push_back(answer.right);
  }
  judge_rights(spec_.target, spec_.namespace_, denied, watch.took(), hops_);
}

awaitable<void> ForwardExamination::ask_right(Answer& answer, TimePoint deadline) {
  Right const& right = answer.right;
  std::size_t const slash = std::min(right.resource.find('/'), right.resource.size());
  k8s::Deed deed(right.verb, right.group, right.resource.substr(0, slash),
                 right.resource.substr(std::min(slash + 1, right.resource.size())),
                 spec_.namespace_);
  auto const allowed = co_await k8s::may(cluster_.rest(), std::move(deed), deadline);
  if (allowed.has_error()) {
    answer.error = allowed.error();
  } else {
    answer.allowed = *allowed;
  }
}

awaitable<void> ForwardExamination::find_pod() {
  Stopwatch const watch;
  k8s::TargetQuery query;
  query.target = spec_.target;
  query.port = spec_.port;
  query.allow_unready = spec_.allow_unready;
  query.namespace_ = spec_.namespace_;
  auto const changed = [this] { target_news_.set(); };
  target_ = std::make_unique<k8s::TargetWatch>(cluster_, std::move(query), changed, target_tasks_);
  auto choices = target_->choose({});
  bool in_time = true;
  while (!choices && in_time) {
    in_time = co_await target_news_.wait_until(watch.deadline());
    choices = target_->choose({});
  }
  judge_choice(choices, watch.took());
}

void ForwardExamination::judge_choice(std::optional<Result<k8s::Choices>> const& choices,
                                      microseconds took) {
  if (!choices) {
    return judge_no_choice(Error(Errc::timeout, "the API server did not answer in time"), took);
  }
  if (choices->has_error()) return judge_no_choice(choices->error(), took);
  choice_ = (*choices)->front();
  bool const seen = !choice_.uid.empty();
  hops_.ok(HopName::target, took, spec_.resource);
  std::string detail = choice_.pod + (seen ? "" : ", not seen");
  if ((*choices)->size() > 1) detail += fmt::format(", of {}", (*choices)->size());
  if (choice_.message.empty()) {
    hops_.ok(HopName::pod, {}, std::move(detail));
  } else {
    hops_.warn(HopName::pod, {}, std::move(detail), choice_.message);
  }
  std::string port = spec_.port == fmt::format("{}", choice_.port)
                         ? spec_.port
                         : fmt::format("{} is {} of the pod", spec_.port, choice_.port);
  if (choice_.warning.empty()) {
    hops_.ok(HopName::port, {}, std::move(port));
  } else {
    hops_.warn(HopName::port, {}, std::move(port), choice_.warning);
  }
}

void ForwardExamination::judge_no_choice(Error const& error, microseconds took) {
  if (error.code == Errc::no_ready_pod) {
    hops_.ok(HopName::target, took, spec_.resource);
    hops_.fail(HopName::pod, {}, error);
  } else if (error.code == Errc::no_such_port) {
    hops_.ok(HopName::target, took, spec_.resource);
    hops_.fail(HopName::port, {}, error);
  } else {
    hops_.fail(HopName::target, took, error);
  }
}

awaitable<void> ForwardExamination::dial() {
  Stopwatch const watch;
  k8s::DialOptions options;
  options.tcp.keepalive = reliability_.tcp_keepalive;
  options.ping_interval = reliability_.ping_interval;
  options.ping_timeout = reliability_.ping_timeout;
  auto tunnel = co_await cluster_.dial(spec_.namespace_, choice_.pod, options, kHopTime);
  auto const took = watch.took();
  if (tunnel.has_error()) {
    hops_.fail(HopName::tunnel, took, tunnel.error());
    co_return;
  }
  connection_ = std::move(tunnel->connection);
  tunnel_task_.spawn(run_connection(*connection_));
  hops_.ok(HopName::tunnel, took, std::string(k8s::to_word(tunnel->transport)));
}

awaitable<void> ForwardExamination::probe() {
  if (spec_.health.method == config::ProbeMethod::none) {
    hops_.skip(HopName::reply, "healthCheck.method none: the port is never opened by us");
    co_return;
  }
  Stopwatch const watch;
  auto const verdict = co_await healthcheck::probe_port(
      *connection_, choice_.port, kRequestId, config::ProbeMethod::tcp_dial, watch.deadline());
  if (verdict.error) {
    hops_.fail(HopName::reply, watch.took(), *verdict.error);
  } else {
    hops_.ok(HopName::reply, watch.took(), fmt::format("port {} accepts", choice_.port));
  }
}

}  // namespace kportal::doctor
