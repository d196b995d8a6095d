// SPDX-License-Identifier: MIT
// TempDir: a directory for one test, gone with the object. Failures to make or write are failures
// of the test.
#pragma once

#include <string>
#include <string_view>

namespace kportal::test {

class TempDir {
 public:
  TempDir();
  ~TempDir();
  TempDir(TempDir const&) = delete;
  TempDir& operator=(TempDir const&) = delete;

  std::string const& path() const { return path_; }
  std::string file(std::string_view name) const;
  // In place: opened, cut to nothing and written. The path.
  std::string write(std::string_view name, std::string_view text) const;
  // As editors do it: another file that is renamed over it. The path.
  std::string replace(std::string_view name, std::string_view text) const;

 private:
  std::string path_;
};

}  // namespace kportal::test
