// SPDX-License-Identifier: MIT
// What the tests of config/ share: environments, problems as text, temporary directories.
#pragma once

#include <filesystem>
#include <fstream>
#include <map>
#include <stdlib.h>
#include <string>
#include <string_view>
#include <vector>

#include <gtest/gtest.h>

#include "config/parse.h"

namespace kportal::config {

inline Environment environment(std::map<std::string, std::string> values = {}) {
  return [values](std::string const& name) -> std::optional<std::string> {
    auto const found = values.find(name);
    if (found == values.end()) return {};
    return found->second;
  };
}

inline std::vector<std::string> texts(std::vector<Problem> const& problems) {
  std::vector<std::string> out;
  for (Problem const& problem : problems) out.push_back(to_text(problem));
  return out;
}

inline ParseOutcome parse_text(std::string_view text, Environment const& env = environment()) {
  return parse(text, "f.yaml", "/base", env);
}

using Texts = std::vector<std::string>;

class TempDirectory {
 public:
  TempDirectory() {
    std::string name = (std::filesystem::temp_directory_path() / "kportal-config-XXXXXX").string();
    if (::mkdtemp(name.data()) == nullptr) ADD_FAILURE() << "mkdtemp failed";
    path_ = name;
  }
  ~TempDirectory() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  TempDirectory(TempDirectory const&) = delete;
  TempDirectory& operator=(TempDirectory const&) = delete;

  std::filesystem::path const& path() const { return path_; }
  std::string operator/(std::string_view name) const { return (path_ / name).string(); }

 private:
  std::filesystem::path path_;
};

inline void write_file(std::filesystem::path const& path, std::string_view text) {
  std::ofstream out(path, std::ios::binary | std::ios::trunc);
  out << text;
  out.flush();
  EXPECT_TRUE(out.good()) << path;
}

}  // namespace kportal::config
