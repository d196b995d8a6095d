// SPDX-License-Identifier: MIT
#include "cmd/options.h"

#include <sstream>

#include <gtest/gtest.h>

namespace kportal::cmd {
namespace {

Command parse(std::string const& line) {
  std::vector<std::string> words{"kportal-cpp"};
  std::istringstream stream(line);
  for (std::string word; stream >> word;) words.push_back(word);
  std::vector<char const*> argv;
  for (std::string const& word : words) argv.push_back(word.c_str());
  return parse_command_line(static_cast<int>(argv.size()), argv.data());
}

// What `up` makes of the line: "names", "ad hoc" and so on; "usage" for exit 2.
std::string meaning(std::string const& line) {
  Command const command = parse(line);
  if (auto const* const answered = std::get_if<Answered>(&command)) {
    return answered->code == ExitCode::usage ? "usage" : "answered";
  }
  switch (std::get<UpCommand>(command).meaning) {
    case Meaning::names:
      return "names";
    case Meaning::ad_hoc:
      return "ad hoc";
    case Meaning::lone_target:
      return "lone target";
    case Meaning::either:
      return "either";
  }
  return "";
}

TEST(UpOptionsTest, WordsAreNamesOrATargetByTheirShape) {
  struct Case {
    char const* line;
    char const* expected;
  };
  for (Case const& c : {
           Case{"up", "names"},
           Case{"up api", "names"},
           Case{"up api db", "names"},
           Case{"up api:8080 lab/shop/svc/db:auto", "names"},
           Case{"up service/api service/db", "names"},
           Case{"up service/api db:5432", "names"},
           Case{"up api http", "names"},
           Case{"up -f x.yaml svc/db 5432", "names"},
           Case{"up svc/db 5432", "ad hoc"},
           Case{"up db 5432", "ad hoc"},
           Case{"up db 5432 http", "ad hoc"},
           Case{"up db :http", "ad hoc"},
           Case{"up svc/db 0", "ad hoc"},
           Case{"up foo/db 8080:80", "ad hoc"},
           Case{"up svc/db 80 svc/web", "ad hoc"},
           Case{"up db http -n shop", "ad hoc"},
           Case{"up --context staging svc/db http", "ad hoc"},
           Case{"up --address 127.0.0.1 svc/db 80", "ad hoc"},
           Case{"up svc/db", "lone target"},
           Case{"up svc/db http", "either"},
           Case{"up 5432 svc/db", "usage"},
           Case{"up -n shop", "usage"},
           Case{"up -n shop svc/db", "usage"},
           Case{"up db --context staging", "usage"},
           Case{"up -f x.yaml -n shop", "usage"},
           Case{"up -f x.yaml svc/db 80 --context staging", "usage"},
           Case{"up -f x.yaml --address 0.0.0.0", "usage"},
       }) {
    EXPECT_EQ(meaning(c.line), c.expected) << c.line;
  }
}

TEST(UpOptionsTest, OptionsOfATarget) {
  Command const command = parse(
      "up svc/db 5432 :http -n shop --context staging --kubeconfig k --address 127.0.0.1,::1 "
      "--address 10.0.0.1");
  config::AdHoc expected;
  expected.target = "svc/db";
  expected.ports = {"5432", ":http"};
  expected.namespace_ = "shop";
  expected.context = "staging";
  expected.kubeconfig = "k";
  expected.addresses = {"127.0.0.1,::1", "10.0.0.1"};
  EXPECT_EQ(std::get<UpCommand>(command).ad_hoc, expected);
}

TEST(UpOptionsTest, OptionsMayStandBeforeTheWords) {
  Command const command = parse("up --address 127.0.0.1 -n shop svc/db 5432");
  EXPECT_EQ(std::get<UpCommand>(command).words, (std::vector<std::string>{"svc/db", "5432"}));
}

TEST(UpOptionsTest, WhyAnOptionDoesNotFit) {
  auto const error = [](std::vector<std::string> const& words, bool has_file,
                        std::string const& option) {
    auto const meaning = meaning_of(words, has_file, option);
    return meaning.has_error() ? meaning.error().text : "";
  };
  EXPECT_NE(error({}, true, "--namespace").find("--namespace goes with TARGET PORT"),
            std::string::npos);
  EXPECT_EQ(error({"svc/db"}, false, "--context"), "svc/db: a port is missing, as in svc/db 5432");
  EXPECT_EQ(error({"5432", "svc/db"}, false, ""),
            "5432: the target comes first, as in svc/db 5432");
}

}  // namespace
}  // namespace kportal::cmd
