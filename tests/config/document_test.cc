// SPDX-License-Identifier: MIT
#include "config/document.h"

#include <chrono>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "tests/config/support.h"

namespace kportal::config {
namespace {

using namespace std::string_view_literals;

// The tree on one line, with the places: {key@1:1=text@1:6, ...}.
std::string shown(Node const& node) {
  std::string out;
  std::string const place = fmt::format("@{}:{}", node.place.line, node.place.column);
  switch (node.content->kind) {
    case NodeKind::null:
      return "null" + place;
    case NodeKind::scalar:
      return node.content->text + place;
    case NodeKind::sequence:
      for (Node const& item : node.content->items) out += (out.empty() ? "" : ", ") + shown(item);
      return "[" + out + "]" + place;
    case NodeKind::mapping:
      for (Entry const& entry : node.content->entries) {
        if (!out.empty()) out += ", ";
        out += fmt::format("{}@{}:{}={}", entry.key, entry.key_place.line, entry.key_place.column,
                           shown(entry.value));
        if (entry.use != entry.value.place) {
          out += fmt::format("<{}:{}>", entry.use.line, entry.use.column);
        }
      }
      return "{" + out + "}" + place;
  }
  return out;
}

// The tree, or the problems if there are any.
std::string read(std::string_view text, Environment const& env = environment()) {
  Report problems;
  std::optional<Node> const root = read_document(text, 0, env, problems);
  std::string out;
  for (std::string const& problem : texts(problems.take({"f"}))) {
    out += (out.empty() ? "" : " | ") + problem;
  }
  if (!out.empty()) return out;
  return root ? shown(*root) : "nothing";
}

TEST(DocumentTest, GivesEveryKeyAndValueItsPlace) {
  EXPECT_EQ(read("a: 1\nb:\n  c: x\n  d: [1, 'two']\n"),
            "{a@1:1=1@1:4, b@2:1={c@3:3=x@3:6, d@4:3=[1@4:7, two@4:10]@4:6}@3:3}@1:1");
  EXPECT_EQ(read("- a: 1\n  b: 2\n- c\n"), "[{a@1:3=1@1:6, b@2:3=2@2:6}@1:3, c@3:3]@1:1");
  EXPECT_EQ(read(""), "null@1:1");
  EXPECT_EQ(read("# only a comment\n"), "null@1:1");
  EXPECT_EQ(read("x"), "x@1:1");
}

TEST(DocumentTest, CountsColumnsInCharacters) {
  EXPECT_EQ(
      read("\xc3\xa9t\xc3\xa9: {\xe2\x82\xac: \xf0\x9f\x9a\x80, b: 1}\n"),
      "{\xc3\xa9t\xc3\xa9@1:1={\xe2\x82\xac@1:7=\xf0\x9f\x9a\x80@1:10, b@1:13=1@1:16}@1:6}@1:1");
}

TEST(DocumentTest, CountsColumnsInALongLine) {
  std::string text = "[";
  for (int i = 0; i < 1'000; ++i) text += "\xc3\xa9, ";
  EXPECT_NE(read(text + "x]").find(", x@1:3002]"), std::string::npos);
}

TEST(DocumentTest, ReadsOtherLineEndsAndAByteOrderMark) {
  EXPECT_EQ(read("a: 1\r\nb:\r\n  - c\r\n"), "{a@1:1=1@1:4, b@2:1=[c@3:5]@3:3}@1:1");
  EXPECT_EQ(read("\xef\xbb\xbf"
                 "a: 1\n"),
            "{a@1:1=1@1:4}@1:1");
  EXPECT_EQ(read("\xef\xbb\xbf"), "null@1:1");
}

TEST(DocumentTest, PlacesAValueThatIsNotThereAtItsKey) {
  EXPECT_EQ(read("a:\n# comment\nb: ~\nc: null\n"),
            "{a@1:1=null@1:1, b@3:1=null@3:4, c@4:1=null@4:4}@1:1");
  EXPECT_EQ(read("a:\n  -\n  - x\n"), "{a@1:1=[null@2:3, x@3:5]@2:3}@1:1");
}

TEST(DocumentTest, KeepsQuotedNullAsText) {
  EXPECT_EQ(read("a: 'null'\nb: \"\"\n"), "{a@1:1=null@1:4, b@2:1=@2:4}@1:1");
}

TEST(DocumentTest, PlacesAnAliasWhereItIsUsed) {
  EXPECT_EQ(
      read("a: &x [1, {k: v}]\nb: *x\n"),
      "{a@1:1=[1@1:8, {k@1:12=v@1:15}@1:11]@1:4, b@2:1=[1@1:8, {k@1:12=v@1:15}@1:11]@2:4}@1:1");
  EXPECT_EQ(read("- &k key\n- *k : v\n"), "[key@1:3, {key@2:3=v@2:8}@2:3]@1:1");
}

TEST(DocumentTest, MergesKeys) {
  EXPECT_EQ(read("- &b {x: 1, y: 2}\n- y: 3\n  <<: *b\n  z: 4\n"),
            "[{x@1:7=1@1:10, y@1:13=2@1:16}@1:3, "
            "{y@2:3=3@2:6, z@4:3=4@4:6, x@1:7=1@1:10<3:7>}@2:3]@1:1");
  EXPECT_EQ(read("- &a {x: 1}\n- &b {x: 2, y: 2}\n- <<: [*a, *b]\n"),
            "[{x@1:7=1@1:10}@1:3, {x@2:7=2@2:10, y@2:13=2@2:16}@2:3, "
            "{x@1:7=1@1:10<3:8>, y@2:13=2@2:16<3:12>}@3:3]@1:1")
      << "the first of a list wins";
  EXPECT_EQ(read("- &a {x: 1}\n- &b {<<: *a, y: 2}\n- <<: *b\n"),
            "[{x@1:7=1@1:10}@1:3, {y@2:15=2@2:18, x@1:7=1@1:10<2:11>}@2:3, "
            "{y@2:15=2@2:18<3:7>, x@1:7=1@1:10<3:7>}@3:3]@1:1");
  EXPECT_EQ(read("\"<<\": 1\n"), "{<<@1:1=1@1:7}@1:1") << "in quotes it is a key like others";
}

TEST(DocumentTest, RefusesOtherMerges) {
  std::string const problem = "<<: must be an alias of a mapping, or a list of such";
  EXPECT_EQ(read("a: &x 1\nb:\n  <<: *x\n"), "f:3:7: " + problem);
  EXPECT_EQ(read("<<: [{a: 1}, 2]\n"), "f:1:14: " + problem);
  EXPECT_EQ(read("<<:\n"), "f:1:1: " + problem);
  EXPECT_EQ(read("<<: {a: 1}\n<<: {b: 1}\n"),
            "f:2:1: duplicate key \"<<\"; the first is in line 1");
}

TEST(DocumentTest, RefusesDuplicateKeys) {
  EXPECT_EQ(read("a: 1\nb: 2\na: 3\nc: {d: 1, d: 2}\n"),
            "f:3:1: duplicate key \"a\"; the first is in line 1 | "
            "f:4:11: duplicate key \"d\"; the first is in line 4");
  EXPECT_EQ(read("a: 1\n'a': 2\n"), "f:2:1: duplicate key \"a\"; the first is in line 1");
}

TEST(DocumentTest, RefusesKeysThatAreNoWords) {
  EXPECT_EQ(read("? [a]\n: b\n"), "f:1:3: a key must be a word, not a list or mapping");
  EXPECT_EQ(read("- : x\n"), "f:1:3: a key is missing before the colon");
  EXPECT_EQ(read("~: x\n"), "f:1:1: a key is missing before the colon");
}

TEST(DocumentTest, RefusesASecondDocument) {
  std::string const problem = "a second YAML document; a configuration is one document";
  EXPECT_EQ(read("a: 1\n---\nb: 1\n"), "f:2:1: " + problem);
  EXPECT_EQ(read("---\na: 1\n---\n"), "f:3:1: " + problem);
  EXPECT_EQ(read("a: 1\n...\nb: 1\n"), "f:3:1: " + problem);
  EXPECT_EQ(read("%YAML 1.2\n---\na: 1\n...\n# end\n"), "{a@3:1=1@3:4}@3:1") << "this is one";
}

TEST(DocumentTest, RefusesWhatIsNoUtf8) {
  std::string const cure = " is not valid UTF-8; save the file as UTF-8";
  EXPECT_EQ(read("a: \xff\n"), "f:1:4: byte 0xff" + cure);
  EXPECT_EQ(read("\xff\xfe"
                 "a\0",
                 environment()),
            "f:1:1: byte 0xff" + cure)
      << "UTF-16";
  EXPECT_EQ(read("a: \xc3\xa9\nb: \xc3\xa9\xe9"), "f:2:5: byte 0xe9" + cure) << "Latin-1";
  for (char const* bytes :
       {"\x80", "\xc0\x80", "\xc1\xbf", "\xc3", "\xe0\x80\x80", "\xe2\x82", "\xed\xa0\x80",
        "\xf0\x80\x80\x80", "\xf4\x90\x80\x80", "\xf5\x80\x80\x80", "\xf0\x9f\x9a", "\xc3("}) {
    EXPECT_NE(read(bytes).find(cure), std::string::npos) << testing::PrintToString(bytes);
  }
}

TEST(DocumentTest, RefusesControlCharacters) {
  std::string const cure = "; a text file has none";
  EXPECT_EQ(read(std::string_view("a: 1\n\0b: 2", 10)), "f:2:1: control character U+0000" + cure);
  EXPECT_EQ(read("a: 1\n\x04"
                 "contexts: x"),
            "f:2:1: control character U+0004" + cure)
      << "yaml-cpp takes this for the end";
  EXPECT_EQ(read("a: \x1b[31m"), "f:1:4: control character U+001B" + cure);
  EXPECT_EQ(read("a: \x7f"), "f:1:4: control character U+007F" + cure);
  EXPECT_EQ(read("a: \xc2\x9b"), "f:1:4: control character U+009B" + cure);
  EXPECT_EQ(read("a: 1\rb: 2\r"), "f:1:5: carriage return without a line feed; end lines with one");
  EXPECT_EQ(read("a: \xc2\x85\n"), "{a@1:1=\xc2\x85@1:4}@1:1");
}

TEST(DocumentTest, SaysWhereTheSyntaxIsWrong) {
  EXPECT_EQ(read("a: b: c\n"),
            "f:1:5: not valid YAML: a colon where no key can be, or wrong indentation");
  EXPECT_EQ(read("a: [1, 2\n"), "f:2:1: not valid YAML: a [ without its ], or a missing comma");
  EXPECT_EQ(read("a: {b: c\n"), "f:2:1: not valid YAML: a { without its }, or a missing comma");
  EXPECT_EQ(read("a:\n  - b\n c: d\n"),
            "f:3:2: not valid YAML: wrong indentation, or text after a value");
  EXPECT_EQ(
      read("a: @x\n"),
      "f:1:4: not valid YAML: a character that no value can begin with; put the value in quotes");
  EXPECT_EQ(read("a: *x\n"), "f:1:4: not valid YAML: the referenced anchor is not defined");
  EXPECT_EQ(
      read("a: {p: ${P}}\n"),
      "f:1:9: not valid YAML: a { without its }, or a missing comma; inside { } and [ ] a ${VAR} "
      "must stand in quotes");
}

TEST(DocumentTest, ShowsNoControlCharacterOfTheFile) {
  EXPECT_EQ(read("a: \"x\\\n\n"),
            "f:1:4: not valid YAML: the quote that begins here is not closed");
  std::string const problem = read("a: \"\\");
  EXPECT_EQ(problem, "f:1:6: not valid YAML: unknown escape character: \\x04");
  EXPECT_EQ(read("a: \"\\\xc3\xa9\""),
            "f:1:7: not valid YAML: unknown escape character: \xef\xbf\xbd");
}

TEST(DocumentTest, NamesTabsInTheIndentation) {
  std::string const problem = "not valid YAML: a tab in the indentation; use spaces";
  EXPECT_EQ(read("a:\n\tb: 1\n"), "f:2:1: " + problem);
  EXPECT_EQ(read("a:\n  \t- b\n"), "f:2:3: " + problem);
  EXPECT_EQ(read("a:\n- b: x\n\tc: y\n"), "f:3:1: " + problem);
  EXPECT_EQ(read("a: {\n\tb: 1}\n"), "{a@1:1={b@2:2=1@2:5}@1:4}@1:1") << "inside { } it is a blank";
}

TEST(DocumentTest, RefusesAnOpenQuote) {
  std::string const problem = "not valid YAML: the quote that begins here is not closed";
  EXPECT_EQ(read("a: 'x\n"), "f:1:4: " + problem);
  EXPECT_EQ(read("a: \"x\nb: 1\n"), "f:1:4: " + problem);
  EXPECT_EQ(read("a: 'it''s\n"), "f:1:4: " + problem);
  EXPECT_EQ(read("a: \"x\\\"\n"), "f:1:4: " + problem);
  EXPECT_EQ(read("a: &x !!str 'x\n"), "f:1:4: " + problem);
  EXPECT_EQ(read("a: 'x"), "f:1:6: not valid YAML: a quote is not closed");
  EXPECT_EQ(read("a: 'it''s'\nb: \"\\\"\"\nc: &x !!str 'x'\nd: |\n  'x\n"),
            "{a@1:1=it's@1:4, b@2:1=\"@2:4, c@3:1=x@3:4, d@4:1='x\n@4:4}@1:1");
}

TEST(DocumentTest, RefusesTags) {
  std::string const cure = ": tags have no use here; if the ! belongs to the value, quote it";
  EXPECT_EQ(read("a: !foo 1\n"), "f:1:4: tag \"!foo\"" + cure);
  EXPECT_EQ(read("a: !!python/object {b: 1}\n"),
            "f:1:4: tag \"tag:yaml.org,2002:python/object\"" + cure);
  EXPECT_EQ(read("a: !!binary aGk=\n"), "f:1:4: tag \"tag:yaml.org,2002:binary\"" + cure);
  EXPECT_EQ(read("a: !<x> [1]\n"), "f:1:4: tag \"x\"" + cure);
  EXPECT_EQ(read("a: !!str 1\nb: !!int 2\nc: !!map {}\nd: !!seq []\n"),
            "{a@1:1=1@1:4, b@2:1=2@2:4, c@3:1={}@3:4, d@4:1=[]@4:4}@1:1");
}

TEST(DocumentTest, BoundsTheDepth) {
  auto const nested = [](std::size_t levels) {
    return std::string(levels, '[') + std::string(levels, ']');
  };
  EXPECT_EQ(read(nested(kMaxDepth)).find("f:"), std::string::npos);
  EXPECT_EQ(read(nested(kMaxDepth + 1)), "f:1:65: more than 64 levels of lists and mappings");
  for (char const c : {'[', '{'}) {
    EXPECT_NE(read(std::string(300'000, c)).find("more than 64 levels"), std::string::npos) << c;
  }
  std::string dashes;
  for (int i = 0; i < 100'000; ++i) dashes += "- ";
  EXPECT_EQ(read(dashes), "f:1:129: more than 64 levels of lists and mappings");
}

TEST(DocumentTest, BoundsTheDepthThroughAliases) {
  std::string text = "- &a0 [x]\n";
  for (int i = 1; i < 70; ++i) text += fmt::format("- &a{} [*a{}]\n", i, i - 1);
  EXPECT_EQ(read(text), "f:64:9: more than 64 levels of lists and mappings");
}

TEST(DocumentTest, DefusesTheAliasBomb) {
  std::string text = "a: &a [x, x, x, x, x, x, x, x, x, x]\n";
  for (char c = 'b'; c <= 'z'; ++c) {
    std::string const alias = fmt::format("*{}", static_cast<char>(c - 1));
    text += fmt::format("{0}: &{0} [{1}", c, alias);
    for (int i = 1; i < 10; ++i) text += ", " + alias;
    text += "]\n";
  }
  EXPECT_EQ(read(text), "f:5:36: more than 100000 values, those of aliases counted each time");
}

TEST(DocumentTest, DefusesTheMergeBomb) {
  std::string text = "- &b {";
  for (int i = 0; i < 1'000; ++i) text += fmt::format("k{}: v, ", i);
  text += "}\n";
  for (int i = 0; i < 1'000; ++i) text += "- {<<: *b}\n";
  EXPECT_NE(read(text).find("more than 100000 values"), std::string::npos);
}

TEST(DocumentTest, BoundsTheNodes) {
  std::string text;
  for (std::size_t i = 0; i < kMaxNodes - 1; ++i) text += "- a\n";
  EXPECT_EQ(read(text).substr(0, 2), "[a");
  EXPECT_EQ(read(text + "- a\n"),
            "f:100000:3: more than 100000 values, those of aliases counted each time");
}

// The shared text of a big alias is not copied.
TEST(DocumentTest, SharesWhatAliasesShare) {
  std::string text = "- &a " + std::string(500'000, 'x') + "\n- [*a";
  for (int i = 0; i < 90'000; ++i) text += ",*a";
  Report problems;
  auto const start = std::chrono::steady_clock::now();
  EXPECT_TRUE(read_document(text + "]\n", 0, environment(), problems));
  EXPECT_TRUE(problems.empty());
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(10));
}

TEST(DocumentTest, RefusesAnAliasInsideItsAnchor) {
  EXPECT_EQ(read("a: &x [*x]\n"), "f:1:8: this alias is inside its own anchor");
  EXPECT_EQ(read("&x a: *x\n").substr(0, 4), "{a@1") << "here it is the key that has the anchor";
  EXPECT_EQ(read("a: &x {b: 1, <<: *x}\n"), "f:1:18: this alias is inside its own anchor");
}

TEST(DocumentTest, BoundsTheSize) {
  std::string const text = "a: 1\n#";
  EXPECT_EQ(read(text + std::string(kMaxFileBytes - text.size(), 'x')), "{a@1:1=1@1:4}@1:1");
  EXPECT_EQ(read(text + std::string(kMaxFileBytes - text.size() + 1, 'x')),
            "f: is larger than 1 MiB");
}

TEST(DocumentTest, ExpandsTheEnvironmentInValues) {
  auto const env = environment({{"A", "1"}, {"YAML", "{x: [1, 2]} # ~"}});
  EXPECT_EQ(read("a: ${A}\nb: '${A}-${NO:-two}'\nc: [\"${A}\"]\n", env),
            "{a@1:1=1@1:4, b@2:1=1-two@2:4, c@3:1=[1@3:5]@3:4}@1:1");
  EXPECT_EQ(read("a: ${YAML}\n", env), "{a@1:1={x: [1, 2]} # ~@1:4}@1:1") << "text, never YAML";
  EXPECT_EQ(read("${A}: 1\n", env), "{${A}@1:1=1@1:7}@1:1") << "not in keys";
  EXPECT_EQ(read("# ${NO}\na: 1 # ${NO}\n", env), "{a@2:1=1@2:4}@2:1");
}

TEST(DocumentTest, PointsAtTheVariable) {
  auto const unset = [](std::string const& place, std::string const& name) {
    return fmt::format(
        "f:{}: the environment variable {} is not set; set it or write ${{{}:-default}}", place,
        name, name);
  };
  EXPECT_EQ(read("a: x${NO}\n"), unset("1:5", "NO"));
  EXPECT_EQ(read("a: '\xc3\xa9${NO}'\n"), unset("1:6", "NO"));
  EXPECT_EQ(read("a: ${X} ${Y:-} ${Z}\n"), unset("1:4", "X") + " | " + unset("1:16", "Z"));
  EXPECT_EQ(read("a: |\n  x\n  ${NO}\n"), unset("3:3", "NO"));
  EXPECT_EQ(read("a: \"x\n  ${NO}\"\n"), unset("2:3", "NO"));
  EXPECT_EQ(read("a: \"\\x24{NO}\"\nb: ${X:-}\n"), unset("1:4", "NO")) << "hidden by an escape";
  EXPECT_EQ(read("a: &x ${NO}\nb: *x\n"), unset("1:7", "NO")) << "once";
  EXPECT_EQ(read("a: $${A} ${NO}\n"), unset("1:10", "NO"));
}

TEST(DocumentTest, BoundsTheExpansion) {
  auto const env = environment({{"BIG", std::string(100'000, 'x')}});
  std::string text;
  for (int i = 0; i < 1'000; ++i) text += "- ${BIG}\n";
  EXPECT_EQ(read(text, env), "f:42:3: the values of environment variables are too long");
}

// What a file is cut off at, or has a byte of changed, may be anything, but it is read in peace.
TEST(DocumentTest, SurvivesMutation) {
  std::string const good =
      "a: &x {b: [1, 'two', \"t\\u0068ree\"], c: !!str 4}\n"
      "? k\n: - |\n    lit\n  - >-\n   fold\n  - ~\n"
      "d: {<<: *x, e: \"${A:-b}\"} # end\n"
      "%: x\n...\n";
  Report problems;
  for (std::size_t at = 0; at <= good.size(); ++at) {
    read_document(good.substr(0, at), 0, environment(), problems);
    read_document(good.substr(at), 0, environment(), problems);
    for (char const c : "\0\t\n\r -:?,[]{}#&*!|>'\"%@`~\\<=$\x04\x7f\x80\xff"sv) {
      std::string changed = good;
      changed.insert(at, 1, c);
      read_document(changed, 0, environment(), problems);
      if (at == good.size()) continue;
      changed = good;
      changed[at] = c;
      read_document(changed, 0, environment(), problems);
    }
  }
  EXPECT_FALSE(problems.empty());
}

}  // namespace
}  // namespace kportal::config
