// SPDX-License-Identifier: MIT
#include "k8s/json_splitter.h"

#include <fmt/format.h>

namespace kportal::k8s {

namespace {

bool is_space(char c) {
  return c == ' ' || c == '\n' || c == '\r' || c == '\t';
}

}  // namespace

void JsonSplitter::append(std::string_view bytes) {
  buffer_.erase(0, begin_);
  scanned_ -= begin_;
  begin_ = 0;
  buffer_.append(bytes);
}

Result<std::optional<std::string>> JsonSplitter::next() {
  if (depth_ == 0) {
    while (begin_ < buffer_.size() && is_space(buffer_[begin_])) ++begin_;
    scanned_ = begin_;
    if (begin_ == buffer_.size()) return std::optional<std::string>();
    if (buffer_[begin_] != '{') return Error(Errc::protocol, "this is no JSON object");
  }
  while (scanned_ < buffer_.size()) {
    step(buffer_[scanned_++]);
    if (depth_ == 0) {
      std::optional<std::string> object(std::in_place, buffer_, begin_, scanned_ - begin_);
      begin_ = scanned_;
      return object;
    }
    if (scanned_ - begin_ >= max_object_) {
      return Error(Errc::limit, fmt::format("a JSON object of more than {} bytes", max_object_));
    }
  }
  return std::optional<std::string>();
}

bool JsonSplitter::at_boundary() const {
  return depth_ == 0 && buffer_.find_first_not_of(" \n\r\t", begin_) == buffer_.npos;
}

void JsonSplitter::step(char c) {
  if (in_string_) {
    if (escaped_) {
      escaped_ = false;
    } else if (c == '\\') {
      escaped_ = true;
    } else if (c == '"') {
      in_string_ = false;
    }
  } else if (c == '"') {
    in_string_ = true;
  } else if (c == '{') {
    ++depth_;
  } else if (c == '}') {
    --depth_;
  }
}

}  // namespace kportal::k8s
