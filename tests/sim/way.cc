// SPDX-License-Identifier: MIT
#include "tests/sim/way.h"

#include <algorithm>
#include <utility>

namespace kportal::sim {

using std::chrono::duration_cast;
using std::chrono::milliseconds;
using std::chrono::seconds;

namespace {

// Some turns of the loop.
constexpr Duration kSlack = milliseconds(100);

auto ms(Duration span) {
  return duration_cast<milliseconds>(span).count();
}

}  // namespace

// Dials, as k8s::Cluster::dial

Way::DialId Way::dial(Dial dial) {
  DialId const id = ++last_dial_;
  attempts_.emplace(id, Attempt(std::move(dial)));
  stage_.time.after({}, [this, id] { look(id); });
  return id;
}

Way::Attempt* Way::find(DialId id, int restarts) {
  auto const at = attempts_.find(id);
  bool const same = at != attempts_.end() && at->second.inside && at->second.restarts == restarts;
  return same ? &at->second : nullptr;
}

void Way::begin(DialId id, Attempt& attempt) {
  TimePoint const now = stage_.time.now();
  attempt.inside = true;
  attempt.patient = attempt.restarts >= kMaxRestarts;
  attempt.answered = attempt.doubted = attempt.again = false;
  attempt.began = attempt.last_sign = now;
  int const restarts = attempt.restarts;
  stage_.time.after(network_.latency * 2, [this, id, restarts] { reach(id, restarts, 0); });
  stage_.time.after(attempt.dial.timeout, [this, id, restarts] {
    if (find(id, restarts)) finish(id, Error(Errc::timeout, "dial: no answer"));
  });
  stage_.time.after(Machine::kBeat, [this, id] { look(id); });
}

// The first packet, or that sent again.
void Way::reach(DialId id, int restarts, std::size_t resent) {
  Attempt* const attempt = find(id, restarts);
  if (attempt == nullptr) return;
  if (network_.blackhole || attempt->dial.is_mute()) {
    if (resent == Network::kResent.size()) return;
    stage_.time.at(attempt->began + Network::kResent[resent],
                   [this, id, restarts, resent] { reach(id, restarts, resent + 1); });
  } else if (network_.closed) {
    finish(id, Error(Errc::network, "connection refused"));
  } else if (auto const refused = attempt->dial.refused()) {
    finish(id, refused);
  } else {
    TimePoint const now = stage_.time.now();
    attempt->answered = true;
    attempt->last_sign = now;
    heard(now);
    TimePoint const due = std::max(now, attempt->began + attempt->dial.server_time);
    stage_.time.at(due, [this, id, restarts] { answer(id, restarts); });
  }
}

void Way::answer(DialId id, int restarts) {
  Attempt* const attempt = find(id, restarts);
  if (attempt == nullptr) return;
  if (network_.blackhole || attempt->dial.hangs()) {
    stage_.time.after(seconds(1), [this, id, restarts] { answer(id, restarts); });
  } else if (network_.closed) {
    finish(id, Error(Errc::network, "connection reset"));
  } else {
    TimePoint const now = stage_.time.now();
    attempt->last_sign = now;
    heard(now);
    finish(id, attempt->dial.answer());
  }
}

void Way::finish(DialId id, std::optional<Error> error) {
  auto const node = attempts_.extract(id);
  Attempt const& attempt = node.mapped();
  bool const unreached = error && (error->code == Errc::network || error->code == Errc::timeout);
  if (unreached && attempt.inside && !attempt.answered) doubt(attempt.began);
  attempt.dial.done(std::move(error));
}

// As Scout::Attempt::given_up, and Cluster::admission for one that waits.
void Way::look(DialId id) {
  auto const at = attempts_.find(id);
  if (at == attempts_.end()) return;
  Attempt& attempt = at->second;
  TimePoint const now = stage_.time.now();
  if (!attempt.inside) {
    if (!machine_.dark()) begin(id, attempt);
    return;
  }
  if (!attempt.patient && (attempt.again || machine_.hopeless(attempt.last_sign, now))) {
    stage_.coverage.hit("scout.dial_begun_anew");
    attempt.inside = false;
    ++attempt.restarts;
    look(id);
    return;
  }
  if (now < attempt.last_sign + Machine::kBeat) {
    stage_.time.at(attempt.last_sign + Machine::kBeat, [this, id] { look(id); });
  } else if (!attempt.answered && !std::exchange(attempt.doubted, true)) {
    doubt(attempt.began);
    stage_.time.after({}, [this, id] { look(id); });
  }
}

// The scout, as k8s::Scout

TimePoint Way::last_heard() const {
  TimePoint last{};
  for (Link* const tunnel : tunnels_) last = std::max(last, tunnel->last_received());
  return last;
}

void Way::doubt(TimePoint since) {
  if (machine_.dark()) return;
  heard(last_heard());
  TimePoint const now = stage_.time.now();
  machine_.doubt(since, now);
  if (!machine_.dark()) return;
  stage_.trace("a cluster is dark");
  stage_.coverage.hit("scout.dark");
  stage_.require(Promise::dark_is_silent, newest_ <= since,
                 "a cluster is dark, and was heard {} ms after what it did not answer",
                 ms(newest_ - since));
  dark_since_ = stage_.time.awake();
  eager_until_ = now + Machine::kEager;
  may_hurry_ = true;
  refused_ = false;
  changed_.reset();
  wake_all();
  run();
}

void Way::heard(TimePoint at) {
  newest_ = std::max(newest_, at);
  auto const lasted = machine_.heard(at);
  if (!lasted) return;
  stage_.trace("a cluster lives, after {} ms", ms(*lasted));
  knocks_.clear();
  bool const blink = *lasted < Machine::kBlink;
  stage_.coverage.hit(blink ? "scout.blink" : "scout.back");
  for (auto& [id, attempt] : attempts_) {
    if (!blink && attempt.last_sign < at - *lasted) attempt.again = true;
  }
  wake_all();
  if (!blink) tell_users();
}

void Way::tell_users() {
  stage_.time.after({}, [this] {
    for (auto const& [who, tell] : std::map(users_)) tell();
  });
}

void Way::wake_all() {
  stage_.time.after({}, [this] {
    std::vector<DialId> ids;
    for (auto const& [id, attempt] : attempts_) ids.push_back(id);
    for (DialId const id : ids) look(id);
  });
}

void Way::network_changed() {
  stage_.trace("the network changed{}", dark() ? " in the dark" : "");
  for (Link* const tunnel : tunnels_) tunnel->ping();
  knocks_.clear();
  machine_.network_changed(stage_.time.now());
  if (dark()) {
    stage_.coverage.hit("scout.changed_in_the_dark");
    changed_ = stage_.time.awake();
    may_hurry_ = true;
  }
  for (auto& [id, attempt] : attempts_) attempt.again = attempt.again || !attempt.answered;
  wake_all();
  run();
  tell_users();
}

void Way::run() {
  std::uint64_t const wake = ++wakes_;
  TimePoint const now = stage_.time.now();
  if (!machine_.dark()) return;
  if (machine_.knock_due(now)) knock(now);
  stage_.time.at(machine_.deadline(), [this, wake] {
    if (wake == wakes_) run();
  });
}

void Way::knock(TimePoint began) {
  stage_.coverage.hit("scout.knock");
  bool const soon = may_hurry_ || refused_;
  Duration const pause = soon ? Duration(Machine::kMinPause) : Machine::kBeat;
  stage_.require(Promise::asked_in_measure, began >= knocked_ + pause,
                 "a cluster that is dark is asked again after {} ms", ms(began - knocked_));
  stage_.require(Promise::asked_in_measure, knocks_.size() < Machine::kMaxKnocks,
                 "{} knocks are in flight", knocks_.size());
  asked_ = stage_.time.awake();
  knocked_ = began;
  changed_.reset();
  refused_ = may_hurry_ = false;
  knocks_.insert(began);
  stage_.time.after(network_.latency * 2, [this, began] { knock_arrives(began, 0); });
  stage_.time.at(began + Machine::kKnockTime,
                 [this, began] { knock_failed(began, Error(Errc::timeout, "no answer")); });
}

void Way::knock_arrives(TimePoint began, std::size_t resent) {
  if (!knocks_.contains(began)) return;
  if (network_.blackhole) {
    if (resent == Network::kResent.size()) return;
    stage_.time.at(began + Network::kResent[resent],
                   [this, began, resent] { knock_arrives(began, resent + 1); });
  } else if (network_.closed) {
    knock_failed(began, Error(Errc::network, "connection refused"));
  } else {
    knocks_.erase(began);
    heard(stage_.time.now());
  }
}

void Way::knock_failed(TimePoint began, Error const& error) {
  if (knocks_.erase(began) == 0) return;
  TimePoint const now = stage_.time.now();
  // An older one says nothing of the last.
  bool const last = began == knocked_;
  if (last) refused_ = now < began + Machine::kMinPause && now < eager_until_;
  if (refused_) stage_.coverage.hit("scout.refused");
  machine_.knock_failed(began, now);
  run();
  // The answer to all that wait.
  std::vector<DialId> waiting;
  for (auto const& [id, attempt] : attempts_) {
    if (!attempt.inside) waiting.push_back(id);
  }
  for (DialId const id : waiting) {
    stage_.time.after({}, [this, id, error] {
      auto const at = attempts_.find(id);
      if (at == attempts_.end() || at->second.inside) return;
      if (machine_.dark()) {
        finish(id, error);
      } else {
        look(id);
      }
    });
  }
}

void Way::check() {
  TimePoint const awake = stage_.time.awake();
  bool const changed = std::exchange(seen_changes_, network_.changes) != network_.changes;
  if (changed || !network_.answers()) answering_since_.reset();
  if (!answering_since_ && network_.answers()) answering_since_ = awake;
  if (!dark()) return;
  TimePoint const asked = std::max(asked_, dark_since_);
  stage_.require(Promise::dark_is_asked, awake <= asked + Machine::kBeat + kSlack,
                 "a cluster that is dark was not asked for {} ms", ms(awake - asked));
  stage_.require(Promise::dark_is_asked,
                 !changed_ || awake <= *changed_ + Machine::kMinPause + kSlack,
                 "a cluster that is dark was not asked by the new way");
  if (!answering_since_) return;
  Duration const pause = refused_ ? Duration(Machine::kMinPause) : Machine::kBeat;
  Duration const since = awake - std::max(*answering_since_, dark_since_);
  stage_.require(Promise::light_is_seen, since <= pause + kSlack * 2,
                 "a cluster that answers was dark for {} ms more", ms(since));
}

}  // namespace kportal::sim
