// SPDX-License-Identifier: MIT
#include "tests/bench/process.h"

#include <charconv>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>

#include <fmt/format.h>

namespace kportal::bench {
namespace {

// The number of the line that begins so; 0 if there is none.
std::uint64_t number_in(std::string const& path, std::string_view beginning) {
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);) {
    if (!line.starts_with(beginning)) continue;
    std::uint64_t value = 0;
    auto const digits = std::min(line.find_first_of("0123456789"), line.size());
    std::from_chars(line.data() + digits, line.data() + line.size(), value);
    return value;
  }
  return 0;
}

double bytes_in(pid_t pid, char const* file, std::string_view line) {
  return 1024.0 * static_cast<double>(number_in(fmt::format("/proc/{}/{}", pid, file), line));
}

std::uint64_t wake_ups_of(pid_t pid, bool first_too) {
  std::uint64_t sum = 0;
  std::error_code ignored;
  std::string const own = std::to_string(pid);
  for (auto const& task :
       std::filesystem::directory_iterator(fmt::format("/proc/{}/task", pid), ignored)) {
    if (!first_too && task.path().filename() == own) continue;
    sum += number_in((task.path() / "status").string(), "voluntary_ctxt_switches");
  }
  return sum;
}

}  // namespace

Duration cpu_time(Pids const& pids) {
  Duration sum{};
  for (pid_t const pid : pids) {
    clockid_t clock{};
    timespec used{};
    if (::clock_getcpuclockid(pid, &clock) != 0 || ::clock_gettime(clock, &used) != 0) continue;
    sum += std::chrono::seconds(used.tv_sec) + std::chrono::nanoseconds(used.tv_nsec);
  }
  return sum;
}

Memory memory(Pids const& pids) {
  Memory sum;
  for (pid_t const pid : pids) {
    sum.resident += bytes_in(pid, "status", "VmRSS");
    sum.peak += bytes_in(pid, "status", "VmHWM");
    sum.shared += bytes_in(pid, "smaps_rollup", "Pss:");
  }
  return sum;
}

std::uint64_t wake_ups(pid_t pid) {
  return wake_ups_of(pid, true);
}

std::uint64_t wake_ups_of_helpers(pid_t pid) {
  return wake_ups_of(pid, false);
}

}  // namespace kportal::bench
