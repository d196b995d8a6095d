// SPDX-License-Identifier: MIT
#include "k8s/reflector_machine.h"

#include <algorithm>
#include <utility>

namespace kportal::k8s {

namespace {

bool needs_change(Errc code) {
  return code == Errc::unauthorized || code == Errc::auth_plugin || code == Errc::forbidden ||
         code == Errc::not_found;
}

}  // namespace

ReflectorMachine::ReflectorMachine(ReflectorOptions const& options)
    : options_(options), backoff_(options.seed), random_(options.seed) {}

ReflectorMachine::Step ReflectorMachine::next(TimePoint now) {
  Step step;
  if (now < not_before_) {
    step.kind = Step::Kind::wait;
    step.until = not_before_;
    return step;
  }
  step.fresh_connection = std::exchange(fresh_, false);
  if (!listed_) {
    step.kind = Step::Kind::list;
    step.continue_token = continue_token_;
    listing_ = true;
    return step;
  }
  step.kind = Step::Kind::watch;
  step.resource_version = resource_version_;
  std::uniform_int_distribution<std::chrono::seconds::rep> lengths(options_.min_watch.count(),
                                                                   options_.max_watch.count());
  step.timeout = std::chrono::seconds(lengths(random_));
  return step;
}

bool ReflectorMachine::page(std::string resource_version, std::string continue_token,
                            TimePoint now) {
  ++pages_;
  if (!continue_token.empty()) {
    continue_token_ = std::move(continue_token);
    return false;
  }
  bool const again = refresh_;
  relist();
  worked_ = true;
  failed_ = false;
  if (polls_ > 0 && polls_ < kPollsPerWatch) {
    ++polls_;
    backoff_.reset();
    if (!again) not_before_ = now + options_.poll_interval;
    return true;
  }
  watch_failures_ = 0;
  resource_version_ = std::move(resource_version);
  listed_ = true;
  return true;
}

void ReflectorMachine::list_failed(Error const& error, TimePoint now) {
  relist();
  retry(error, now);
}

bool ReflectorMachine::watch_refused(Error const& error, TimePoint now) {
  if (!listed_) return false;  // refresh() came in between
  bool const forbidden = error.code == Errc::forbidden;
  if (forbidden && (!watched_ || ++forbidden_ > kMaxForbiddenWatches)) {
    // What was listed is true, and will be listed again.
    polls_ = 1;
    relist();
    not_before_ = now + options_.poll_interval;
    return false;
  }
  ++watch_failures_;
  bool const list_in_doubt = error.code == Errc::gone || error.code == Errc::limit ||
                             error.code == Errc::protocol || needs_change(error.code);
  if (list_in_doubt || watch_failures_ >= kMaxWatchFailures) relist();
  retry(error, now);
  return error.code != Errc::gone;
}

bool ReflectorMachine::watch_opened(TimePoint now) {
  polls_ = 0;
  watched_ = true;
  forbidden_ = 0;
  failed_ = false;
  opened_ = now;
  last_event_ = now;
  had_event_ = false;
  return listed_;
}

void ReflectorMachine::event(std::string resource_version, TimePoint now) {
  resource_version_ = std::move(resource_version);
  last_event_ = now;
  had_event_ = true;
  watch_failures_ = 0;
}

bool ReflectorMachine::watch_ended(std::optional<Error> const& error, TimePoint now) {
  bool const silent = error && error->code == Errc::timeout;
  if (!silent && now - opened_ >= options_.proven_watch) {
    backoff_.reset();
    was_gone_ = false;
  } else if (!had_event_) {
    ++watch_failures_;
  }
  if (!listed_) return false;  // refresh() came in between
  bool const cut = !error || error->code == Errc::network;
  if (!silent && !cut) return watch_refused(*error, now);
  fresh_ = silent;
  failed_ = cut;
  not_before_ = now;
  if (cut) not_before_ += backoff_.next();
  if (watch_failures_ >= kMaxWatchFailures) relist();
  return false;
}

void ReflectorMachine::refresh() {
  if (listing_) {
    refresh_ = true;
  } else {
    relist();
  }
  polls_ = std::min(polls_, 1);
  backoff_.reset();
  not_before_ = asked_wait_;
}

void ReflectorMachine::hurry() {
  if (!failed_) return;
  failed_ = false;
  backoff_.reset();
  not_before_ = asked_wait_;
}

void ReflectorMachine::retry(Error const& error, TimePoint now) {
  bool const at_once = error.code == Errc::gone && !was_gone_;
  if (at_once) was_gone_ = true;
  failed_ = true;
  Duration wait{};
  if (needs_change(error.code)) {
    wait = wait_for_change(error.code);
  } else if (!at_once) {
    wait = backoff_.next();
  }
  if (error.retry_after.count() > 0) asked_wait_ = now + error.retry_after;
  not_before_ = std::max(now + wait, asked_wait_);
}

Duration ReflectorMachine::wait_for_change(Errc code) {
  if (!worked_ || code == Errc::auth_plugin) return options_.slow_retry;
  Duration wait = backoff_.next();
  if (wait == Duration::zero()) wait = backoff_.next();
  if (code == Errc::unauthorized) wait = std::max(wait, options_.first_retry);
  return std::min(wait, options_.slow_retry);
}

void ReflectorMachine::relist() {
  listed_ = false;
  listing_ = false;
  refresh_ = false;
  pages_ = 0;
  continue_token_.clear();
}

}  // namespace kportal::k8s
