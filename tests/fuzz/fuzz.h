// SPDX-License-Identifier: MIT
// What the fuzzers share: taking an input apart, cutting a stream in pieces, and saying that a
// property does not hold. Each target is one .cc with LLVMFuzzerTestOneInput: by the preset `fuzz`
// linked with libFuzzer, in all other builds with replay.cc, which runs the corpora as tests.
#pragma once

#include <cstdint>
#include <random>
#include <source_location>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"

namespace kportal::fuzz {

// Ends the program with the place if `holds` is false: libFuzzer writes the input down.
void require(bool holds, std::source_location where = std::source_location::current());

// Ends it if one input took more than two seconds of the processor, however loaded the machine is.
class Budget {
 public:
  Budget();
  ~Budget();
  Budget(Budget const&) = delete;
  Budget& operator=(Budget const&) = delete;

 private:
  double started_;
};

// Takes choices from the front of an input, and what they are about from the rest. Past the end
// all is zero or empty.
class Input {
 public:
  Input(std::uint8_t const* data, std::size_t size);

  bool empty() const { return rest_.empty(); }
  std::uint8_t byte();
  std::uint32_t number(std::size_t bytes);  // big-endian
  std::string_view text(std::size_t size);
  // Up to the next zero byte, which is taken too.
  std::string_view line();
  std::string_view rest() const { return rest_; }

 private:
  std::string_view rest_;
};

// The same bytes in pieces of 1 to `most` bytes; where it cuts depends on the bytes alone.
std::vector<std::string> pieces(std::string_view text, std::size_t most);

// No control characters, thus one line that gives a terminal no orders.
bool is_one_clean_line(std::string_view text);

}  // namespace kportal::fuzz
