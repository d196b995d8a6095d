// SPDX-License-Identifier: MIT
#include "config/document.h"

#include <algorithm>
#include <array>
#include <sstream>
#include <unordered_map>
#include <utility>

#include <fmt/format.h>
#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/exceptions.h>
#include <yaml-cpp/parser.h>

#include "base/printable.h"

namespace kportal::config {
namespace {

// Ends the reading of a document: nothing after this point can be trusted.
struct Refusal {
  Place place;
  std::string message;
};

bool is_lead_byte(char c) {
  return (static_cast<unsigned char>(c) & 0xC0U) != 0x80U;
}

// Byte offsets to places. yaml-cpp's own columns count bytes, and its lines only '\n'.
class TextIndex {
 public:
  explicit TextIndex(std::string_view text) : text_(text) {
    int characters = 0;
    for (std::size_t at = 0; at < text.size(); ++at) {
      if (at % kStep == 0) before_.push_back(characters);
      if (is_lead_byte(text[at])) ++characters;
      if (text[at] == '\n') lines_.push_back(at + 1);
    }
  }

  Place place(std::size_t offset) const {
    offset = std::min(offset, text_.size());
    auto const next = std::upper_bound(lines_.begin(), lines_.end(), offset);
    std::size_t const line = static_cast<std::size_t>(next - lines_.begin());
    return {static_cast<int>(line),
            characters_before(offset) - characters_before(lines_[line - 1]) + 1};
  }
  Place place(YAML::Mark const& mark) const { return place(offset(mark)); }
  std::size_t offset(YAML::Mark const& mark) const {
    return std::min(text_.size(), static_cast<std::size_t>(std::max(mark.pos, 0)));
  }
  // The line that holds this offset, without its end.
  std::string_view line_at(std::size_t offset) const {
    auto const next =
        std::upper_bound(lines_.begin(), lines_.end(), std::min(offset, text_.size()));
    std::size_t const begin = *(next - 1);
    return text_.substr(begin, text_.find('\n', begin) - begin);
  }
  std::size_t offset_of(std::string_view part) const {
    return static_cast<std::size_t>(part.data() - text_.data());
  }
  std::string_view text() const { return text_; }

 private:
  static constexpr std::size_t kStep = 64;  // a line may be the whole file

  int characters_before(std::size_t offset) const {
    if (before_.empty()) return 0;
    std::size_t const block = std::min(offset / kStep, before_.size() - 1);
    int characters = before_[block];
    for (std::size_t at = block * kStep; at < offset; ++at) {
      if (is_lead_byte(text_[at])) ++characters;
    }
    return characters;
  }

  std::string_view text_;
  std::vector<std::size_t> lines_{0};
  std::vector<int> before_;
};

// The length of the UTF-8 character at the front, 0 if there is none (Unicode, table 3-7).
std::size_t utf8_length(std::string_view text) {
  auto const byte = [&](std::size_t at) {
    return at < text.size() ? static_cast<unsigned char>(text[at]) : 0U;
  };
  auto const tail = [&](std::size_t at) { return (byte(at) & 0xC0U) == 0x80U; };
  unsigned const first = byte(0);
  unsigned const second = byte(1);
  if (first < 0x80) return 1;
  if (first >= 0xC2 && first <= 0xDF) return tail(1) ? 2 : 0;
  if (first >= 0xE0 && first <= 0xEF) {
    bool const overlong = first == 0xE0 && second < 0xA0;
    bool const surrogate = first == 0xED && second > 0x9F;
    return tail(1) && tail(2) && !overlong && !surrogate ? 3 : 0;
  }
  if (first >= 0xF0 && first <= 0xF4) {
    bool const overlong = first == 0xF0 && second < 0x90;
    bool const beyond = first == 0xF4 && second > 0x8F;
    return tail(1) && tail(2) && tail(3) && !overlong && !beyond ? 4 : 0;
  }
  return 0;
}

// What YAML 1.2 calls unprintable is refused before the parser sees it: yaml-cpp takes 0x04 for the
// end of the file, and does not count a lone carriage return as a line.
void check_characters(TextIndex const& index) {
  std::string_view const text = index.text();
  for (std::size_t at = 0; at < text.size();) {
    std::size_t const length = utf8_length(text.substr(at));
    if (length == 0) {
      throw Refusal{index.place(at),
                    fmt::format("byte 0x{:02x} is not valid UTF-8; save the file as UTF-8",
                                static_cast<unsigned char>(text[at]))};
    }
    auto const first = static_cast<unsigned char>(text[at]);
    if (first == '\r' && !text.substr(at + 1).starts_with('\n')) {
      throw Refusal{index.place(at), "carriage return without a line feed; end lines with one"};
    }
    bool const allowed = first == '\t' || first == '\n' || first == '\r';
    bool const c1 = first == 0xC2 && static_cast<unsigned char>(text[at + 1]) < 0xA0 &&
                    static_cast<unsigned char>(text[at + 1]) != 0x85;
    if ((first < 0x20 && !allowed) || first == 0x7F || c1) {
      unsigned const code = c1 ? static_cast<unsigned char>(text[at + 1]) : first;
      throw Refusal{index.place(at),
                    fmt::format("control character U+{:04X}; a text file has none", code)};
    }
    at += length;
  }
}

bool is_known_tag(std::string const& tag) {
  // "?" is plain and "!" is quoted, both without a tag in the file.
  static constexpr std::array<std::string_view, 9> kKnown{"",
                                                          "?",
                                                          "!",
                                                          "tag:yaml.org,2002:str",
                                                          "tag:yaml.org,2002:int",
                                                          "tag:yaml.org,2002:bool",
                                                          "tag:yaml.org,2002:float",
                                                          "tag:yaml.org,2002:map",
                                                          "tag:yaml.org,2002:seq"};
  return std::find(kKnown.begin(), kKnown.end(), tag) != kKnown.end();
}

// Where a scalar itself begins, after an anchor and a tag.
std::size_t skip_properties(std::string_view text, std::size_t at) {
  while (at < text.size() && (text[at] == '&' || text[at] == '!')) {
    at = text.find_first_of(" \t\r\n", at);
    at = std::min(text.find_first_not_of(" \t\r\n", at), text.size());
  }
  return at;
}

// yaml-cpp takes the end of the file for the closing quote.
bool is_closed(std::string_view text, std::size_t at) {
  char const quote = at < text.size() ? text[at] : '\0';
  if (quote != '\'' && quote != '"') return true;
  for (++at; at < text.size(); ++at) {
    if (quote == '"' && text[at] == '\\') {
      ++at;
    } else if (text[at] == quote) {
      if (quote == '"' || !text.substr(at + 1).starts_with('\'')) return true;
      ++at;
    }
  }
  return false;
}

// The tree grows here from yaml-cpp's events.
class TreeBuilder final : public YAML::EventHandler {
 public:
  TreeBuilder(TextIndex const& index, std::size_t file, Environment const& environment,
              Report& problems)
      : index_(index), file_(file), environment_(environment), problems_(problems) {}

  std::optional<Node> const& root() const { return root_; }

  void OnDocumentStart(YAML::Mark const&) override {}
  void OnDocumentEnd() override {}

  void OnNull(YAML::Mark const& mark, YAML::anchor_t anchor) override {
    count(index_.place(mark), 1);
    add(Node{null_place(mark), std::make_shared<Content const>()}, anchor);
  }

  void OnAlias(YAML::Mark const& mark, YAML::anchor_t anchor) override {
    Place const place = index_.place(mark);
    auto const target = anchors_.find(anchor);
    if (target == anchors_.end()) throw Refusal{place, "this alias is inside its own anchor"};
    count(place, target->second->nodes);
    if (frames_.size() + target->second->height > kMaxDepth) throw too_deep(place);
    add(Node{place, target->second}, YAML::NullAnchor);
  }

  void OnScalar(YAML::Mark const& mark, std::string const& tag, YAML::anchor_t anchor,
                std::string const& value) override {
    Place const place = index_.place(mark);
    count(place, 1);
    check_tag(place, tag);
    if (tag != "?" &&
        !is_closed(index_.text(), skip_properties(index_.text(), index_.offset(mark)))) {
      throw Refusal{place, "not valid YAML: the quote that begins here is not closed"};
    }
    Content content;
    content.kind = NodeKind::scalar;
    bool const is_key = wants_key();
    content.text = is_key ? value : expanded(mark, value);
    if (is_key && tag == "?" && value == "<<") frames_.back().at_merge = true;
    add(Node{place, std::make_shared<Content const>(std::move(content))}, anchor);
  }

  void OnSequenceStart(YAML::Mark const& mark, std::string const& tag, YAML::anchor_t anchor,
                       YAML::EmitterStyle::value) override {
    open(mark, tag, anchor, NodeKind::sequence);
  }
  void OnSequenceEnd() override { close(); }
  void OnMapStart(YAML::Mark const& mark, std::string const& tag, YAML::anchor_t anchor,
                  YAML::EmitterStyle::value) override {
    open(mark, tag, anchor, NodeKind::mapping);
  }
  void OnMapEnd() override { close(); }

 private:
  struct Key {
    std::string text;
    Place place;
  };
  struct Frame {
    Content content;
    Place place;
    YAML::anchor_t anchor;
    std::optional<Key> key;    // of the value that comes next
    bool at_merge = false;     // that key is `<<`
    std::vector<Node> merged;  // the values of `<<`
    std::unordered_map<std::string, Place> keys;
  };

  static Refusal too_deep(Place place) {
    return {place, fmt::format("more than {} levels of lists and mappings", kMaxDepth)};
  }

  bool wants_key() const {
    return !frames_.empty() && frames_.back().content.kind == NodeKind::mapping &&
           !frames_.back().key;
  }

  void count(Place place, std::size_t nodes) {
    nodes_ += nodes;
    if (nodes_ > kMaxNodes) {
      throw Refusal{
          place, fmt::format("more than {} values, those of aliases counted each time", kMaxNodes)};
    }
  }

  void check_tag(Place place, std::string const& tag) {
    if (is_known_tag(tag)) return;
    problems_.add(
        file_, place,
        fmt::format("tag {}: tags have no use here; if the ! belongs to the value, quote it",
                    in_quotes(tag)));
  }

  // yaml-cpp gives a value that is not there the place of what follows it, lines later perhaps.
  Place null_place(YAML::Mark const& mark) const {
    std::string_view const rest = index_.text().substr(index_.offset(mark));
    bool const written = rest.starts_with('~') || rest.starts_with("null") ||
                         rest.starts_with("Null") || rest.starts_with("NULL");
    if (written || frames_.empty()) return index_.place(mark);
    Frame const& frame = frames_.back();
    return frame.key ? frame.key->place : frame.place;
  }

  // The n-th `${` of the value is the n-th in the file from the value's beginning. Where escapes
  // make this wrong, the value's beginning is the place.
  Place place_in(YAML::Mark const& mark, std::string_view value, std::size_t offset) const {
    std::string_view const text = index_.text();
    std::size_t at = index_.offset(mark);
    for (std::size_t seen = 0;; at += 2, seen += 2) {
      at = text.find("${", at);
      if (at == std::string_view::npos) return index_.place(mark);
      seen = value.find("${", seen);
      if (seen == offset) break;
    }
    bool const same = text.substr(at, 3) == value.substr(offset, 3);
    return same ? index_.place(at) : index_.place(mark);
  }

  std::string expanded(YAML::Mark const& mark, std::string const& value) {
    if (value.find("${") == std::string::npos) return value;
    Expanded result = expand(value, environment_, kMaxExpandedBytes - expanded_bytes_);
    expanded_bytes_ += result.text.size();
    for (ExpandFailure& failure : result.failures) {
      Place const place = place_in(mark, value, failure.offset);
      if (expanded_bytes_ > kMaxExpandedBytes) throw Refusal{place, std::move(failure.message)};
      problems_.add(file_, place, std::move(failure.message));
    }
    return std::move(result.text);
  }

  void open(YAML::Mark const& mark, std::string const& tag, YAML::anchor_t anchor, NodeKind kind) {
    Place const place = index_.place(mark);
    count(place, 1);
    check_tag(place, tag);
    if (frames_.size() >= kMaxDepth) throw too_deep(place);
    Frame frame;
    frame.content.kind = kind;
    frame.place = place;
    frame.anchor = anchor;
    frames_.push_back(std::move(frame));
  }

  void close() {
    Frame frame = std::move(frames_.back());
    frames_.pop_back();
    for (Node const& node : frame.merged) merge(frame, node);
    auto content = std::make_shared<Content const>(std::move(frame.content));
    add(Node{frame.place, std::move(content)}, frame.anchor);
  }

  void add(Node node, YAML::anchor_t anchor) {
    if (anchor != YAML::NullAnchor) anchors_[anchor] = node.content;
    if (frames_.empty()) {
      root_ = std::move(node);
      return;
    }
    Frame& frame = frames_.back();
    if (frame.content.kind == NodeKind::sequence) {
      grow(frame.content, node);
      frame.content.items.push_back(std::move(node));
    } else if (!frame.key) {
      add_key(frame, node);
    } else {
      add_value(frame, std::move(node));
    }
  }

  static void grow(Content& parent, Node const& child) {
    parent.nodes += child.content->nodes;
    parent.height = std::max(parent.height, child.content->height + 1);
  }

  void add_key(Frame& frame, Node const& node) {
    if (node.content->kind != NodeKind::scalar) {
      throw Refusal{node.place, node.content->kind == NodeKind::null
                                    ? "a key is missing before the colon"
                                    : "a key must be a word, not a list or mapping"};
    }
    frame.key = Key{node.content->text, node.place};
  }

  void add_value(Frame& frame, Node node) {
    Key key = std::move(*frame.key);
    frame.key.reset();
    bool const is_merge = std::exchange(frame.at_merge, false);
    auto const [first, is_new] = frame.keys.try_emplace(key.text, key.place);
    if (!is_new) {
      problems_.add(file_, key.place,
                    fmt::format("duplicate key {}; the first is in line {}", in_quotes(key.text),
                                first->second.line));
    } else if (is_merge) {
      add_merge(frame, node);
    } else {
      grow(frame.content, node);
      ++frame.content.nodes;
      Place const use = node.place;
      frame.content.entries.push_back({std::move(key.text), key.place, std::move(node), use});
    }
  }

  void add_merge(Frame& frame, Node const& node) {
    std::vector<Node> const nodes =
        node.content->kind == NodeKind::sequence ? node.content->items : std::vector<Node>{node};
    for (Node const& one : nodes) {
      if (one.content->kind != NodeKind::mapping) {
        problems_.add(file_, one.place, "<<: must be an alias of a mapping, or a list of such");
        return;
      }
    }
    frame.merged.insert(frame.merged.end(), nodes.begin(), nodes.end());
  }

  // The mapping's own keys win, then those of the earlier `<<` (yaml.org/type/merge).
  static void merge(Frame& frame, Node const& from) {
    for (Entry const& entry : from.content->entries) {
      if (!frame.keys.try_emplace(entry.key, entry.key_place).second) continue;
      grow(frame.content, entry.value);
      ++frame.content.nodes;
      frame.content.entries.push_back({entry.key, entry.key_place, entry.value, from.place});
    }
  }

  TextIndex const& index_;
  std::size_t const file_;
  Environment const& environment_;
  Report& problems_;
  std::vector<Frame> frames_;
  std::unordered_map<YAML::anchor_t, std::shared_ptr<Content const>> anchors_;
  std::optional<Node> root_;
  std::size_t nodes_ = 0;
  std::size_t expanded_bytes_ = 0;
};

struct Rewording {
  std::string_view theirs;
  std::string_view ours;
};
constexpr std::array<Rewording, 7> kRewordings{{
    {"illegal map value", "a colon where no key can be, or wrong indentation"},
    {"end of map not found", "wrong indentation, or text after a value"},
    {"end of sequence not found", "wrong indentation, or a list item without -"},
    {"end of map flow not found", "a { without its }, or a missing comma"},
    {"end of sequence flow not found", "a [ without its ], or a missing comma"},
    {"illegal EOF in scalar", "a quote is not closed"},
    {"unknown token", "a character that no value can begin with; put the value in quotes"},
}};

Refusal syntax_refusal(TextIndex const& index, YAML::ParserException const& error) {
  std::size_t const offset = index.offset(error.mark);
  std::string_view const line = index.line_at(offset);
  std::size_t const indent = std::min(line.find_first_not_of(" \t"), line.size());
  std::size_t const tab = line.substr(0, indent).find('\t');
  if (tab != std::string_view::npos) {
    return {index.place(index.offset_of(line) + tab),
            "not valid YAML: a tab in the indentation; use spaces"};
  }
  std::string message = "not valid YAML: ";
  auto const reworded = std::find_if(kRewordings.begin(), kRewordings.end(),
                                     [&](Rewording const& r) { return r.theirs == error.msg; });
  // Its words may show a character of the file, even one that ends a line.
  message += reworded == kRewordings.end() ? printable(error.msg) : std::string(reworded->ours);
  if (line.find("${") != std::string_view::npos) {
    message += "; inside { } and [ ] a ${VAR} must stand in quotes";
  }
  return {index.place(offset), std::move(message)};
}

// Asks only whether a document begins, and where.
class DocumentStart final : public YAML::EventHandler {
 public:
  void OnDocumentStart(YAML::Mark const& mark) override { throw mark; }
  void OnDocumentEnd() override {}
  void OnNull(YAML::Mark const&, YAML::anchor_t) override {}
  void OnAlias(YAML::Mark const&, YAML::anchor_t) override {}
  void OnScalar(YAML::Mark const&, std::string const&, YAML::anchor_t,
                std::string const&) override {}
  void OnSequenceStart(YAML::Mark const&, std::string const&, YAML::anchor_t,
                       YAML::EmitterStyle::value) override {}
  void OnSequenceEnd() override {}
  void OnMapStart(YAML::Mark const&, std::string const&, YAML::anchor_t,
                  YAML::EmitterStyle::value) override {}
  void OnMapEnd() override {}
};

void refuse_second_document(YAML::Parser& parser, TextIndex const& index) {
  DocumentStart start;
  try {
    parser.HandleNextDocument(start);
  } catch (YAML::Mark const& mark) {
    throw Refusal{index.place(mark), "a second YAML document; a configuration is one document"};
  }
}

}  // namespace

std::optional<Node> read_document(std::string_view text, std::size_t file,
                                  Environment const& environment, Report& problems) {
  if (text.size() > kMaxFileBytes) {
    problems.add(file, {}, fmt::format("is larger than {} MiB", kMaxFileBytes >> 20U));
    return {};
  }
  if (text.starts_with("\xEF\xBB\xBF")) text.remove_prefix(3);  // a byte order mark
  TextIndex const index(text);
  try {
    check_characters(index);
    std::istringstream stream{std::string(text)};
    YAML::Parser parser(stream);
    TreeBuilder builder(index, file, environment, problems);
    try {
      if (!parser.HandleNextDocument(builder)) {
        return Node{{1, 1}, std::make_shared<Content const>()};
      }
      refuse_second_document(parser, index);
    } catch (YAML::ParserException const& error) {
      throw syntax_refusal(index, error);
    }
    return builder.root();
  } catch (Refusal const& refusal) {
    problems.add(file, refusal.place, refusal.message);
  } catch (YAML::Exception const& error) {
    problems.add(file, {}, fmt::format("not valid YAML: {}", printable(error.msg)));
  }
  return {};
}

}  // namespace kportal::config
