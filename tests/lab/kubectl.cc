// SPDX-License-Identifier: MIT
#include "tests/lab/kubectl.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string_view>
#include <unistd.h>

namespace kportal::test {
namespace {

std::string variable(char const* name) {
  auto const* const value = std::getenv(name);
  return value == nullptr ? std::string() : std::string(value);
}

}  // namespace

std::string find_kubectl() {
  if (auto const given = variable("KPORTAL_KUBECTL"); !given.empty()) return given;
  auto cache = variable("XDG_CACHE_HOME");
  if (cache.empty()) cache = variable("HOME") + "/.cache";
  auto const built = cache + "/kportal-cpp-cluster/bin/kubectl";
  if (::access(built.c_str(), X_OK) == 0) return built;
  auto path = variable("PATH");
  while (!path.empty()) {
    auto const end = std::min(path.find(':'), path.size());
    auto const candidate = path.substr(0, end) + "/kubectl";
    if (::access(candidate.c_str(), X_OK) == 0) return candidate;
    path.erase(0, std::min(end + 1, path.size()));
  }
  return {};
}

int kubectl_minor_version(std::string const& kubectl) {
  std::unique_ptr<FILE, int (*)(FILE*)> const out(
      ::popen((kubectl + " version --client 2>/dev/null").c_str(), "r"), &::pclose);
  std::array<char, 512> text{};
  std::size_t const n = std::fread(text.data(), 1, text.size() - 1, out.get());
  std::string_view const said(text.data(), n);
  std::string_view const mark = "v1.";
  int minor = 0;
  auto const at = said.find(mark);
  if (at != std::string_view::npos) {
    std::from_chars(said.data() + at + mark.size(), said.data() + said.size(), minor);
  }
  return minor;
}

}  // namespace kportal::test
