// SPDX-License-Identifier: MIT
#include "tests/e2e/pulse.h"

#include <algorithm>
#include <array>
#include <poll.h>
#include <utility>

namespace kportal::test {

Pulse::Pulse(std::uint16_t port, Duration period, std::string path)
    : port_(port),
      period_(period),
      path_(std::move(path)),
      give_up_at_(TimePoint::max().time_since_epoch().count()),
      thread_([this] { run(); }) {}

Pulse::~Pulse() {
  if (thread_.joinable()) stop(Duration::zero());
}

void Pulse::stop(Duration within) {
  give_up_at_ = (Clock::now() + within).time_since_epoch().count();
  stopping_ = true;
  if (thread_.joinable()) thread_.join();
}

void Pulse::run() {
  TimePoint next = Clock::now();
  while (!stopping_ || !open_.empty()) {
    TimePoint const now = Clock::now();
    if (now.time_since_epoch().count() >= give_up_at_) return;
    if (!stopping_ && now >= next) {
      begin();
      next += period_;
      continue;
    }
    std::vector<pollfd> waiting;
    for (Open const& open : open_) waiting.push_back({open.client.descriptor(), POLLIN, 0});
    auto const pause = std::chrono::ceil<std::chrono::milliseconds>(
        stopping_ ? period_ : std::min(period_, next - now));
    ::poll(waiting.data(), waiting.size(), static_cast<int>(pause.count()));
    std::size_t at = 0;
    for (auto open = open_.begin(); open != open_.end();) {
      if (waiting[at++].revents != 0) step(*open);
      open = ended(*open) ? open_.erase(open) : std::next(open);
    }
  }
}

void Pulse::begin() {
  std::size_t beat = 0;
  {
    std::lock_guard const lock(mutex_);
    beat = beats_.size();
    beats_.push_back(Beat{Clock::now(), {}, End::open, 0, {}});
  }
  Open& open = open_.emplace_back(beat, port_);
  if (open.client.connected()) {
    open.client.send_now("GET " + path_ + std::to_string(beat) + " HTTP/1.1\r\nHost: pod\r\n\r\n");
  }
  if (open.client.end() != End::open) {
    end(beat, open.client.end(), HttpAnswer());
    open_.pop_back();
  }
  changed_.notify_all();
}

void Pulse::step(Open& open) {
  std::array<char, 4096> buffer{};
  std::size_t const n = open.client.read_now(buffer.data(), buffer.size());
  open.received.append(buffer.data(), n);
  if (auto const answer = parse_answer(open.received)) {
    end(open.beat, End::open, *answer);
  } else if (open.client.end() != End::open) {
    end(open.beat, open.client.end(), HttpAnswer());
  }
}

bool Pulse::ended(Open const& open) const {
  std::lock_guard const lock(mutex_);
  return beats_[open.beat].ended != TimePoint{};
}

void Pulse::end(std::size_t beat, End end, HttpAnswer const& answer) {
  std::lock_guard const lock(mutex_);
  Beat& it = beats_[beat];
  it.ended = Clock::now();
  it.end = end;
  it.status = answer.status;
  if (answer.body.starts_with("pod=")) it.pod = answer.body.substr(4, answer.body.find(' ') - 4);
  changed_.notify_all();
}

PulseCount Pulse::count() const {
  PulseCount count;
  std::lock_guard const lock(mutex_);
  for (Beat const& beat : beats_) {
    ++count.asked;
    if (beat.ended == TimePoint{}) {
      ++count.waiting;
    } else if (beat.status == 200) {
      ++count.answered;
      count.longest = std::max(count.longest, beat.ended - beat.asked);
    } else if (beat.end == End::refused) {
      ++count.refused;
    } else if (beat.end == End::reset) {
      ++count.reset;
    } else {
      ++count.cut;
    }
  }
  return count;
}

std::vector<Pulse::Beat> Pulse::beats() const {
  std::lock_guard const lock(mutex_);
  return beats_;
}

bool Pulse::wait_until(TimePoint deadline, std::function<bool()> const& holds) const {
  std::unique_lock lock(mutex_);
  return changed_.wait_until(lock, deadline, holds);
}

std::optional<TimePoint> Pulse::wait_for_answer(TimePoint from, std::string_view old,
                                                Duration within) const {
  TimePoint first{};
  auto const answered = [&] {
    for (Beat const& beat : beats_) {
      bool const counts =
          beat.status == 200 && beat.ended >= from && (old.empty() || beat.pod != old);
      if (counts && (first == TimePoint{} || beat.ended < first)) first = beat.ended;
    }
    return first != TimePoint{};
  };
  if (!wait_until(Clock::now() + within, answered)) return std::nullopt;
  return first;
}

bool Pulse::wait_for_asked(int n, Duration within) const {
  return wait_until(Clock::now() + within,
                    [&] { return std::cmp_greater_equal(beats_.size(), n); });
}

bool Pulse::wait_for_waiting(int n, Duration within) const {
  return wait_until(Clock::now() + within, [&] {
    return std::ranges::count_if(beats_,
                                 [](Beat const& beat) { return beat.ended == TimePoint{}; }) >= n;
  });
}

}  // namespace kportal::test
