// SPDX-License-Identifier: MIT
// Fuzzer of JsonSplitter: a stream in any pieces against the whole, and what it cuts out of JSON
// that nlohmann's parser takes against what that parser reads.
#include "k8s/json_splitter.h"

#include <nlohmann/json.hpp>

#include "k8s/objects.h"
#include "tests/fuzz/fuzz.h"

namespace kportal::k8s {
namespace {

using fuzz::require;
using Json = nlohmann::json;

struct Cut {
  std::vector<std::string> documents;
  std::vector<std::string> elements;
  std::string problem;
  bool at_boundary = false;
  bool operator==(Cut const&) const = default;
};

// False after an error, which is final.
bool take_ready(JsonSplitter& splitter, Cut& cut) {
  for (;;) {
    auto next = splitter.next();
    if (!next) {
      require(!next.error().text.empty() && fuzz::is_one_clean_line(next.error().text));
      auto const again = splitter.next();
      require(again.has_error() && again.error() == next.error());
      cut.problem = next.error().text;
      return false;
    }
    if (!*next) return true;
    require((*next)->text.size() <= JsonSplitter::kMaxKept);
    ((*next)->element ? cut.elements : cut.documents).push_back((*next)->text);
  }
}

Cut cut_up(JsonSplitter splitter, std::vector<std::string> const& input) {
  Cut cut;
  for (std::string const& piece : input) {
    splitter.append(piece);
    if (!take_ready(splitter, cut)) break;
  }
  cut.at_boundary = splitter.at_boundary();
  return cut;
}

// nlohmann's parser takes a zero byte for the end.
bool is_object(std::string_view text) {
  if (text.find('\0') != std::string_view::npos) return false;
  auto const first = text.find_first_not_of(" \t\r\n");
  return first != std::string_view::npos && text[first] == '{' && Json::accept(text);
}

void check_everything(std::string const& text) {
  JsonSplitter const splitter(kJsonEverything);
  Cut const cut = cut_up(splitter, {text});
  if (!is_object(text)) return;
  bool const deep = cut.problem.find("deeper") != std::string::npos;
  require(cut.problem.empty() || deep);
  if (deep) return;
  require(cut.documents.size() == 1 && cut.elements.empty() && cut.at_boundary);
  // Names with escapes are left out.
  if (text.find('\\') == std::string::npos) {
    require(Json::parse(cut.documents.front()) == Json::parse(text));
  }
  Cut const twice = cut_up(splitter, {text + text});
  require(twice.documents == std::vector<std::string>(2, cut.documents.front()));
}

void check_list(std::string const& text, JsonRule const& rule) {
  JsonSplitter const splitter(rule, "items");
  Cut const cut = cut_up(splitter, {text});
  for (std::size_t const most : {1U, 4U, 30U}) {
    Cut const again = cut_up(splitter, fuzz::pieces(text, most));
    require(again == cut);
  }
  if (!is_object(text)) return;
  if (cut.problem.empty()) require(cut.documents.size() == 1 && cut.at_boundary);
  for (auto const& document : cut.documents) require(Json::parse(document).is_object());
  for (auto const& element : cut.elements) require(Json::accept(element));
  auto const whole = Json::parse(text);
  bool const plain = text.find('\\') == std::string::npos && cut.problem.empty();
  // Of names that are there twice nlohmann keeps one, so there may be more elements.
  if (plain && whole.contains("items") && whole["items"].is_array()) {
    require(cut.elements.size() >= whole["items"].size());
  }
}

}  // namespace
}  // namespace kportal::k8s

extern "C" int LLVMFuzzerTestOneInput(std::uint8_t const* data, std::size_t size) {
  using namespace kportal;
  fuzz::Budget const budget;
  fuzz::Input input(data, size);
  std::uint8_t const choice = input.byte();
  std::string const text(input.rest());
  if (choice % 3 == 0) k8s::check_everything(text);
  if (choice % 3 == 1) k8s::check_list(text, k8s::kPodListRule);
  if (choice % 3 == 2) k8s::check_list(text, k8s::kServiceListRule);
  return 0;
}
