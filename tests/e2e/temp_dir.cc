// SPDX-License-Identifier: MIT
#include "tests/e2e/temp_dir.h"

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include <gtest/gtest.h>

namespace kportal::test {

TempDir::TempDir() {
  std::string path = (std::filesystem::temp_directory_path() / "kportal-test-XXXXXX").string();
  EXPECT_NE(mkdtemp(path.data()), nullptr);
  path_ = path;
}

TempDir::~TempDir() {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

std::string TempDir::file(std::string_view name) const {
  return path_ + "/" + std::string(name);
}

std::string TempDir::write(std::string_view name, std::string_view text) const {
  std::string const path = file(name);
  std::ofstream out(path, std::ios::binary | std::ios::trunc);
  out << text << std::flush;
  EXPECT_TRUE(out.good()) << path;
  return path;
}

std::string TempDir::replace(std::string_view name, std::string_view text) const {
  std::string const path = file(name);
  std::string const next = write(std::string(name) + ".next", text);
  std::error_code error;
  std::filesystem::rename(next, path, error);
  EXPECT_FALSE(error) << error.message();
  return path;
}

}  // namespace kportal::test
