// SPDX-License-Identifier: MIT
#include "config/file.h"

#include <algorithm>
#include <cerrno>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <boost/system/system_category.hpp>
#include <fmt/format.h>

#include "base/descriptors.h"
#include "config/document.h"

namespace kportal::config {
namespace {

class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  ~Descriptor() {
    if (fd_ >= 0) ::close(fd_);
  }
  Descriptor(Descriptor const&) = delete;
  Descriptor& operator=(Descriptor const&) = delete;
  int get() const { return fd_; }

 private:
  int fd_;
};

Error failure(int number) {
  if (number == ENOENT) return {Errc::not_found, "no such file"};
  return {Errc::local,
          "cannot be read: " + cause_of(error_code(number, boost::system::system_category()))};
}

Error too_large() {
  return {Errc::limit, fmt::format("is larger than {} MiB", kMaxFileBytes >> 20U)};
}

}  // namespace

Result<std::string> read_file(std::string const& path) {
  // O_NONBLOCK: opening a FIFO that nobody writes to would wait.
  Descriptor const file(::open(path.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC | O_NOCTTY));
  if (file.get() < 0) return failure(errno);
  struct stat status {};
  if (::fstat(file.get(), &status) != 0) return failure(errno);
  if (S_ISDIR(status.st_mode)) return Error{Errc::local, "is a directory, not a file"};
  if (!S_ISREG(status.st_mode)) {
    return Error{Errc::local,
                 "is not a regular file; to read a pipe, use -f - and its standard "
                 "input"};
  }
  if (status.st_size > static_cast<off_t>(kMaxFileBytes)) return too_large();
  // It may grow meanwhile; one byte of room tells the end.
  std::string text(static_cast<std::size_t>(status.st_size) + 1, '\0');
  std::size_t filled = 0;
  for (;;) {
    if (filled > kMaxFileBytes) return too_large();
    if (filled == text.size()) text.resize(std::min(2 * filled, kMaxFileBytes + 1));
    ssize_t const got = ::read(file.get(), text.data() + filled, text.size() - filled);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return failure(errno);
    if (got == 0) break;
    filled += static_cast<std::size_t>(got);
  }
  text.resize(filled);
  text.shrink_to_fit();
  return text;
}

}  // namespace kportal::config
