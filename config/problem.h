// SPDX-License-Identifier: MIT
// What is wrong with a configuration, and where: problems refuse it, warnings only tell. Report
// gathers either of them while files are read, in any order, and gives them back in the order of
// place.
#pragma once

#include <compare>
#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace kportal::config {

// Counted from 1, columns in characters (code points). Line 0: the file as a whole.
struct Place {
  int line = 0;
  int column = 0;
  auto operator<=>(Place const&) const = default;
};

struct Problem {
  std::string file;
  int line = 0;  // 0 = the file as a whole; then column is 0 too
  int column = 0;
  std::string message;  // starts with the key where there is one: "contexts[0].name: is missing"
  bool operator==(Problem const&) const = default;
};

// "file:line:column: message", or "file: message" for the file as a whole.
std::string to_text(Problem const& problem);

// `text` in double quotes, made printable, its end cut off if it is long.
std::string in_quotes(std::string_view text);

// Files are named by their index in the list that take() gets.
class Report {
 public:
  // More than this are counted, not kept: nobody reads them, and a hostile file has 100,000.
  static constexpr std::size_t kMaxProblems = 1'000;

  // The same message at the same place is kept once.
  void add(std::size_t file, Place place, std::string message);
  bool empty() const { return found_.empty(); }
  std::vector<Problem> take(std::vector<std::string> const& files);

 private:
  struct Found {
    std::size_t file;
    Place place;
    std::string message;
  };
  std::vector<Found> found_;
  std::size_t left_out_ = 0;
};

}  // namespace kportal::config
