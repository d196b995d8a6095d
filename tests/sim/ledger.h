// SPDX-License-Identifier: MIT
// Ledger: what the applications in the pods saw of each user's connection, and what they sent. So
// that bytes that come twice, in another order or not at all are known. Every connection's bytes
// are its own: its id first, then a pattern.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <vector>

#include "base/bytes.h"

namespace kportal::sim {

class Ledger {
 public:
  struct Record {
    std::uint64_t seen_by = 0;  // the application that saw its bytes
    std::size_t seen = 0;       // bytes
    std::size_t answered = 0;   // bytes
    bool ended_answer = false;  // the application closed, all was said
    bool cut = false;           // the runtime ended it in the midst of an answer
  };

  static constexpr std::size_t kIdSize = 8;

  // Bytes `from` .. `from + size` of what connection `id` sends.
  static std::vector<std::byte> pattern(std::uint64_t id, std::size_t from, std::size_t size) {
    std::vector<std::byte> bytes(size);
    for (std::size_t i = 0; i < size; ++i) bytes[i] = at(id, from + i);
    return bytes;
  }
  static std::byte at(std::uint64_t id, std::size_t i) {
    if (i < kIdSize) return static_cast<std::byte>((id >> (8 * i)) & 0xff);
    return static_cast<std::byte>((id * 31 + i) & 0xff);
  }

  Record& operator[](std::uint64_t id) { return records_[id]; }

 private:
  std::map<std::uint64_t, Record> records_;
};

}  // namespace kportal::sim
