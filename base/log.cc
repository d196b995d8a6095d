// SPDX-License-Identifier: MIT
#include "base/log.h"

#include <cerrno>
#include <memory>
#include <mutex>
#include <unistd.h>

#include <spdlog/logger.h>
#include <spdlog/sinks/base_sink.h>

#include "base/printable.h"

namespace kportal::log {
namespace {

spdlog::level::level_enum to_spdlog(Level level) {
  switch (level) {
    case Level::debug:
      return spdlog::level::debug;
    case Level::info:
      return spdlog::level::info;
    case Level::warn:
      return spdlog::level::warn;
    case Level::error:
      return spdlog::level::err;
  }
  return spdlog::level::err;
}

std::string_view word_of(spdlog::level::level_enum level) {
  switch (level) {
    case spdlog::level::trace:
    case spdlog::level::debug:
      return "debug";
    case spdlog::level::info:
      return "info";
    case spdlog::level::warn:
      return "warn";
    default:
      return "error";
  }
}

std::string_view view_of(spdlog::string_view_t text) {
  return {text.data(), text.size()};
}

std::string cut(std::string_view message) {
  if (message.size() <= kMaxMessage) return std::string(message);
  return fmt::format("{}... ({} more bytes)", message.substr(0, kMaxMessage),
                     message.size() - kMaxMessage);
}

std::string text_line(spdlog::details::log_msg const& entry) {
  std::string line = fmt::format("{} {:<5} ", utc_timestamp(entry.time), word_of(entry.level));
  append_printable(line, cut(view_of(entry.payload)));
  return line;
}

std::string json_line(spdlog::details::log_msg const& entry) {
  std::string line = fmt::format(R"({{"time":"{}","level":"{}","message":)",
                                 utc_timestamp(entry.time), word_of(entry.level));
  append_json_string(line, cut(view_of(entry.payload)));
  line += '}';
  return line;
}

void write_to_stderr(std::string line) {
  line += '\n';
  std::string_view rest = line;
  while (!rest.empty()) {
    ssize_t const written = ::write(STDERR_FILENO, rest.data(), rest.size());
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) return;
    rest.remove_prefix(static_cast<std::size_t>(written));
  }
}

class LineSink final : public spdlog::sinks::base_sink<std::mutex> {
 public:
  void set_format(Format format) {
    std::lock_guard const lock(mutex_);
    format_ = format;
  }
  void set_output(Output output) {
    std::lock_guard const lock(mutex_);
    output_ = std::move(output);
  }

 private:
  void sink_it_(spdlog::details::log_msg const& entry) override {
    std::string line = format_ == Format::json ? json_line(entry) : text_line(entry);
    output_(std::move(line));
  }
  void flush_() override {}

  Format format_ = Format::text;
  Output output_ = write_to_stderr;
};

struct Log {
  std::shared_ptr<LineSink> sink = std::make_shared<LineSink>();
  spdlog::logger logger{"kportal", sink};
  Log() { logger.set_level(spdlog::level::info); }
};

// Never destroyed: threads left behind at the exit may still log.
Log& instance() {
  static Log* const log = new Log;
  return *log;
}

}  // namespace

void set_level(Level level) {
  instance().logger.set_level(to_spdlog(level));
}

bool enabled(Level level) {
  return instance().logger.should_log(to_spdlog(level));
}

void set_format(Format format) {
  instance().sink->set_format(format);
}

void set_output(Output output) {
  instance().sink->set_output(std::move(output));
}

void set_output(Writer& writer, Writer::Target target) {
  set_output([&writer, target](std::string line) { writer.write(target, std::move(line)); });
}

void reset_output() {
  set_output(write_to_stderr);
}

void write(Level level, std::string_view message) {
  instance().logger.log(to_spdlog(level), spdlog::string_view_t(message.data(), message.size()));
}

}  // namespace kportal::log
