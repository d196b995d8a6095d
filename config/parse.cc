// SPDX-License-Identifier: MIT
#include "config/parse.h"

#include <algorithm>
#include <filesystem>
#include <system_error>

#include <fmt/format.h>

#include "config/decode.h"
#include "config/document.h"
#include "config/file.h"

namespace kportal::config {
namespace {

constexpr std::string_view kStdinName = "<stdin>";

// A file's name and, if it could be read, what is in it.
struct Read {
  std::string file;
  std::optional<Source> source;
  std::string failure;
};

std::string current_directory() {
  std::error_code error;
  std::filesystem::path const directory = std::filesystem::current_path(error);
  return error ? "/" : directory.string();
}

Read read_stdin(std::optional<std::string> const& text) {
  std::string const file(kStdinName);
  if (!text) return {file, {}, "there is no standard input to read"};
  return {file, Source{file, *text, current_directory()}, ""};
}

Read read_path(std::string const& path) {
  if (path.empty()) return {"-f", {}, "the name of the file is empty"};
  Result<std::string> text = read_file(path);
  if (text.has_error()) return {path, {}, text.error().text};
  std::filesystem::path const absolute = std::filesystem::path(current_directory()) / path;
  return {path, Source{path, *std::move(text), absolute.parent_path().string()}, ""};
}

ParseOutcome parse_all(std::vector<Read> const& reads, Environment const& environment) {
  Report problems;
  Report warnings;
  std::vector<std::string> files;
  std::vector<Tree> trees;
  for (Read const& read : reads) {
    std::size_t const file = files.size();
    files.push_back(read.file);
    if (!read.source) {
      problems.add(file, {}, read.failure);
      continue;
    }
    auto root = read_document(read.source->text, file, environment, problems);
    if (root) trees.push_back({file, *std::move(root), read.source->base_dir});
  }
  ParseOutcome outcome;
  Config config = decode(trees, files, environment, problems, warnings);
  if (problems.empty()) outcome.config = std::move(config);
  outcome.problems = problems.take(files);
  outcome.warnings = warnings.take(files);
  return outcome;
}

}  // namespace

ParseOutcome parse(std::vector<Source> const& sources, Environment const& environment) {
  std::vector<Read> reads;
  for (Source const& source : sources) reads.push_back({source.file, source, ""});
  return parse_all(reads, environment);
}

ParseOutcome parse(std::string_view text, std::string const& file, std::string const& base_dir,
                   Environment const& environment) {
  return parse(std::vector{Source{file, std::string(text), base_dir}}, environment);
}

ParseOutcome load(std::vector<std::string> const& files, Environment const& environment,
                  std::optional<std::string> const& stdin_text) {
  std::vector<Read> reads;
  for (std::size_t at = 0; at < files.size(); ++at) {
    std::string const& file = files[at];
    auto const here = files.begin() + static_cast<std::ptrdiff_t>(at);
    Read read = file == "-" ? read_stdin(stdin_text) : read_path(file);
    if (std::find(files.begin(), here, file) != here) {
      read.source.reset();
      read.failure = "is given twice";
    }
    reads.push_back(std::move(read));
  }
  return parse_all(reads, environment);
}

}  // namespace kportal::config
