// SPDX-License-Identifier: MIT
// Random: the only source of chance in a schedule, so that its seed repeats it on every machine.
// splitmix64; the standard's distributions differ from library to library.
#pragma once

#include <cstdint>
#include <initializer_list>

#include "base/clock.h"

namespace kportal::sim {

class Random {
 public:
  explicit Random(std::uint64_t seed) : state_(seed * 0x9e3779b97f4a7c15ULL + 1) {}

  std::uint64_t next() {
    state_ += 0x9e3779b97f4a7c15ULL;
    std::uint64_t x = state_;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ULL;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebULL;
    return x ^ (x >> 31);
  }
  // 0 .. n-1.
  std::size_t below(std::size_t n) { return static_cast<std::size_t>(next() % n); }
  bool chance(unsigned percent) { return below(100) < percent; }
  Duration between(Duration least, Duration most) {
    auto const span = static_cast<std::uint64_t>((most - least).count()) + 1;
    return least + Duration(static_cast<Duration::rep>(next() % span));
  }
  template <class T>
  T pick(std::initializer_list<T> of) {
    return of.begin()[below(of.size())];
  }

 private:
  std::uint64_t state_;
};

}  // namespace kportal::sim
