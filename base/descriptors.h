// SPDX-License-Identifier: MIT
// Descriptors: how many this process may have, which are kept back, and what to say where none is
// left. It counts none and holds none.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "base/error.h"

namespace kportal {

// The soft limit becomes the hard one. What it was before, for the programs that this one starts.
std::optional<std::uint64_t> raise_descriptor_limit();

// This process or the whole system has no descriptor left.
bool lacks_descriptors(error_code error);

// Whether a connection from outside may take a descriptor: an eighth of what this process may have,
// kMaxKeptBack at the most, is left to what it needs itself, so that many clients of one forward
// cannot keep another one's tunnel from being dialled. `any` is open. Three system calls.
inline constexpr std::uint64_t kMaxKeptBack = 128;
bool may_take_descriptor(int any);

// What the error says, and where descriptors lack also the limit and what raises it: "Too many open
// files (this program may have 1024: `ulimit -n` or LimitNOFILE= of its service raises it)".
std::string cause_of(error_code error);

}  // namespace kportal
