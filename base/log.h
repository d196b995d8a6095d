// SPDX-License-Identifier: MIT
// The log: diagnostics for people who look for a fault, one line each, never a byte of traffic nor
// a secret. Not the events, which have their own forms. Level and output are global to the process;
// every function may be called from any thread.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <utility>

#include <fmt/core.h>

#include "base/writer.h"

namespace kportal::log {

enum class Level { debug, info, warn, error };
enum class Format { text, json };

// Where a line goes, without its newline. Called under the log's lock: it must not log nor wait.
using Output = std::function<void(std::string line)>;

// A longer message is cut; servers put whole pages into their errors.
inline constexpr std::size_t kMaxMessage = 16 * 1024;

// Lines below are not made. Level::info at the start; `-v` is debug, `-q` is error.
void set_level(Level level);
bool enabled(Level level);

// text: 2026-11-23T14:05:01.123Z warn  message
// json: {"time":"2026-11-23T14:05:01.123Z","level":"warn","message":"message"}
void set_format(Format format);

// Before the first set_output() and after reset_output(), lines go to stderr from the calling
// thread. What an output uses must live until the next of these two calls has returned.
void set_output(Output output);
void set_output(Writer& writer, Writer::Target target);
void reset_output();

// Writes `message` as one line, whatever it holds: newlines and control characters are escaped.
void write(Level level, std::string_view message);

template <class... Args>
void debug(fmt::format_string<Args...> format, Args&&... args) {
  if (enabled(Level::debug)) write(Level::debug, fmt::format(format, std::forward<Args>(args)...));
}
template <class... Args>
void info(fmt::format_string<Args...> format, Args&&... args) {
  if (enabled(Level::info)) write(Level::info, fmt::format(format, std::forward<Args>(args)...));
}
template <class... Args>
void warn(fmt::format_string<Args...> format, Args&&... args) {
  if (enabled(Level::warn)) write(Level::warn, fmt::format(format, std::forward<Args>(args)...));
}
template <class... Args>
void error(fmt::format_string<Args...> format, Args&&... args) {
  if (enabled(Level::error)) write(Level::error, fmt::format(format, std::forward<Args>(args)...));
}

}  // namespace kportal::log
