// SPDX-License-Identifier: MIT
// JsonSplitter: cuts a stream of JSON objects into one text per object, by counting braces outside
// of strings. A watch sends its events back to back and promises no newline between them
// (apimachinery pkg/apis/meta/v1/watch.go). It does not check what is inside the braces. Pure.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

#include "base/error.h"

namespace kportal::k8s {

class JsonSplitter {
 public:
  explicit JsonSplitter(std::size_t max_object) : max_object_(max_object) {}

  void append(std::string_view bytes);
  // The next whole object, or nothing yet. Errc::limit when one grows over max_object,
  // Errc::protocol when something else than an object begins; both are final.
  Result<std::optional<std::string>> next();
  // True between objects: an end of the stream here cuts nothing.
  bool at_boundary() const;

 private:
  void step(char c);

  std::size_t max_object_;
  std::string buffer_;
  std::size_t begin_ = 0;    // of the object that is being read
  std::size_t scanned_ = 0;  // up to here braces were counted
  std::size_t depth_ = 0;
  bool in_string_ = false;
  bool escaped_ = false;
};

}  // namespace kportal::k8s
