// SPDX-License-Identifier: MIT
#include <cerrno>
#include <cstdlib>
#include <fcntl.h>
#include <filesystem>
#include <unistd.h>

#include "k8s/kubeconfig.h"

namespace kportal::k8s {
namespace {

using FileText = boost::system::result<std::string>;

error_code last_error() {
  return {errno, boost::system::system_category()};
}

class Descriptor {
 public:
  explicit Descriptor(std::string const& path) : value_(open(path.c_str(), O_RDONLY | O_CLOEXEC)) {}
  ~Descriptor() {
    if (value_ >= 0) close(value_);
  }
  Descriptor(Descriptor const&) = delete;
  Descriptor& operator=(Descriptor const&) = delete;
  int get() const { return value_; }

 private:
  int value_;
};

FileText read_whole_file(std::string const& path, std::size_t limit) {
  Descriptor const file(path);
  if (file.get() < 0) return last_error();
  std::string text;
  char buffer[16 * 1024];
  for (;;) {
    ssize_t const n = read(file.get(), buffer, sizeof buffer);
    if (n == 0) return text;
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return last_error();
    text.append(buffer, static_cast<std::size_t>(n));
    if (text.size() > limit) {
      return error_code(boost::system::errc::make_error_code(boost::system::errc::file_too_large));
    }
  }
}

std::optional<std::string> read_variable(std::string const& name) {
  char const* const value = std::getenv(name.c_str());
  if (value == nullptr) return std::nullopt;
  return std::string(value);
}

std::vector<std::string> all_variables() {
  std::vector<std::string> all;
  for (char** each = environ; *each != nullptr; ++each) all.emplace_back(*each);
  return all;
}

}  // namespace

Environment system_environment() {
  std::error_code ignored;
  return {read_variable, read_whole_file, std::filesystem::current_path(ignored).string(),
          all_variables()};
}

}  // namespace kportal::k8s
