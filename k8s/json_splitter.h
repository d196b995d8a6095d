// SPDX-License-Identifier: MIT
// JsonSplitter: cuts a stream of JSON into texts small enough to be parsed at once: each document
// (a watch sends them back to back and promises no newline between them, apimachinery
// pkg/apis/meta/v1/watch.go), or each element of one array in it (the items of a list), and of each
// only what a JsonRule keeps. It holds that part alone, however much is sent. Pure.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "k8s/json_rule.h"

namespace kportal::k8s {

inline constexpr std::size_t kMaxJsonDepth = 128;

struct JsonPiece {
  std::string text;
  bool element = false;  // of the array; else the document around it, with that array empty

  JsonPiece(std::string t, bool e) : text(std::move(t)), element(e) {}
};

// It checks brackets, commas and colons everywhere. What strings, numbers and words hold is the
// parser's to check, so in parts that are not kept nobody does. Names with escapes are never kept.
class JsonSplitter {
 public:
  // One document without the array's elements, or one element, as sent; an API server's own objects
  // are bounded to about 1.5 MiB by etcd.
  static constexpr std::size_t kMaxObject = 16 * 1024 * 1024;
  // What is kept of one, and so parsed at once: at most some 20 ms.
  static constexpr std::size_t kMaxKept = 1024 * 1024;

  // `elements`: the name of the array, a member of the document; "" = none. Both outlive it.
  explicit JsonSplitter(JsonRule const& keep, std::string_view elements = {})
      : keep_(&keep), elements_(elements) {}

  void append(std::string bytes);
  // The next whole piece, or nothing yet. Errc::limit, Errc::protocol where something else than an
  // object begins, Errc::server for other JSON that is broken or too deep; all are final.
  Result<std::optional<JsonPiece>> next();
  // True between documents: an end of the stream here cuts nothing.
  bool at_boundary() const { return levels_.empty() && !problem_; }

 private:
  enum class Expect { key, key_or_end, colon, value, value_or_end, comma_or_end };
  enum class Token { none, key, string, word };
  // An object or array that is open.
  struct Level {
    bool array;
    bool shown;            // its brackets are kept
    JsonRule const* rule;  // null: its inside is not
    bool elements = false;
    bool any = false;  // a member was kept
  };

  void step();
  void structure(char c);
  void begin_value(char c);
  void open(bool array, JsonRule const* rule);
  void close(bool array);
  void end_value();
  void take_string();
  void take_word();
  void keep(std::string_view text);
  void keep_in(std::string& into, std::string_view text);
  void advance(std::size_t n);
  void broken();

  JsonRule const* keep_;
  std::string_view elements_;
  std::string input_;
  std::size_t at_ = 0;        // up to here it was read
  std::size_t position_ = 0;  // of the stream
  std::vector<Level> levels_;
  Expect expect_ = Expect::value;
  Token token_ = Token::none;
  bool escaped_ = false;
  bool keeping_ = false;             // the token
  std::string key_;                  // as sent, with its quotes
  JsonRule const* child_ = nullptr;  // of the value that comes next in an object
  bool in_element_ = false;
  std::string document_;
  std::string element_;
  std::size_t document_size_ = 0;  // as sent
  std::size_t element_size_ = 0;
  std::optional<JsonPiece> piece_;
  std::optional<Error> problem_;
};

}  // namespace kportal::k8s
