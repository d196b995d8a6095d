// SPDX-License-Identifier: MIT
#include "base/descriptors.h"

#include <algorithm>
#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <fmt/format.h>

namespace kportal {

namespace errc = boost::system::errc;

std::optional<std::uint64_t> raise_descriptor_limit() {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return std::nullopt;
  std::uint64_t const before = limit.rlim_cur;
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
  return before;
}

bool lacks_descriptors(error_code error) {
  return error == errc::too_many_files_open || error == errc::too_many_files_open_in_system;
}

// The system gives the lowest free number, so the highest ones are left when all others are taken.
bool may_take_descriptor(int any) {
  int const next = ::fcntl(any, F_DUPFD_CLOEXEC, 0);
  if (next < 0) return false;
  ::close(next);
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return true;
  rlim_t const kept_back = std::min<rlim_t>(limit.rlim_cur / 8, kMaxKeptBack);
  return static_cast<rlim_t>(next) < limit.rlim_cur - kept_back;
}

std::string cause_of(error_code error) {
  rlimit limit{};
  if (error == errc::too_many_files_open && getrlimit(RLIMIT_NOFILE, &limit) == 0) {
    return fmt::format(
        "{} (this program may have {}: `ulimit -n` or LimitNOFILE= of its service raises it)",
        error.message(), limit.rlim_cur);
  }
  if (error == errc::too_many_files_open_in_system) {
    return fmt::format("{} (sysctl fs.file-max raises the limit)", error.message());
  }
  return error.message();
}

}  // namespace kportal
