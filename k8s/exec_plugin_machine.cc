// SPDX-License-Identifier: MIT
#include "k8s/exec_plugin_machine.h"

#include <algorithm>
#include <utility>

namespace kportal::k8s {
namespace {

bool same(PluginCredential const& a, PluginCredential const& b) {
  return a.token == b.token && a.cert_pem == b.cert_pem && a.key_pem == b.key_pem;
}

}  // namespace

std::optional<Result<SharedLogin>> ExecPluginMachine::ask(std::uint64_t refused, Now now) {
  if (refused != 0 && refused == generation_ && !refused_) {
    if (now.steady < next_refusal_) {
      return Error(Errc::unauthorized, "the login plugin has no other credential");
    }
    next_refusal_ = now.steady + kRefusedPause;
    refused_ = true;
  }
  if (usable(now.wall)) return login_;
  if (failure_ && now.steady < failure_until_) return *failure_;
  wanted_ = true;
  return std::nullopt;
}

ExecPluginMachine::Step ExecPluginMachine::next(Now now) const {
  Step step;
  if (wanted_) {
    step.run = true;
    return step;
  }
  bool const renewable = renews_ && usable(now.wall) && renew_at_ != WallTime::max();
  if (!renewable) return step;
  if (now.wall >= renew_at_ && now.steady >= next_renewal_) {
    step.run = true;
    return step;
  }
  auto const left = std::clamp<Duration>(renew_at_ - now.wall, Duration::zero(), kLook);
  step.until = std::max(now.steady + left, next_renewal_);
  return step;
}

void ExecPluginMachine::began(TimePoint hangs_at) {
  running_ = true;
  doubted_ = false;
  hangs_at_ = hangs_at;
}

TimePoint ExecPluginMachine::give_up_at() const {
  return doubted_ && restarts_ < kMaxRestarts ? hangs_at_ : kNever;
}

void ExecPluginMachine::given_up() {
  running_ = false;
  doubted_ = false;
  ++restarts_;
}

void ExecPluginMachine::finished(Result<PluginCredential> outcome, Duration took, Now now) {
  wanted_ = false;
  running_ = false;
  doubted_ = false;
  restarts_ = 0;
  next_renewal_ = now.steady + kRenewalPause;
  if (outcome.has_error()) {
    failure_ = outcome.error();
    failure_until_ = now.steady + kFailurePause;
    next_renewal_ = failure_until_;
    // What was refused stays so; what was not is good until it expires.
    return;
  }
  failure_.reset();
  refused_ = false;
  if (!login_ || !same(login_->credential, *outcome)) ++generation_;
  PluginLogin login;
  login.credential = std::move(*outcome);
  login.generation = generation_;
  login.took = took;
  renew_at_ = WallTime::max();
  if (auto const& expires = login.credential.expires) {
    renew_at_ = *expires - std::min<Duration>(kMaxMargin, (*expires - now.wall) / 5);
  }
  login_ = std::make_shared<PluginLogin const>(std::move(login));
}

bool ExecPluginMachine::usable(WallTime wall) const {
  if (!login_ || refused_) return false;
  auto const& expires = login_->credential.expires;
  return !expires || wall < *expires;
}

}  // namespace kportal::k8s
