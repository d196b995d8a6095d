// SPDX-License-Identifier: MIT
// What the program says and how it exits when there is nothing to forward: usage, files, version.
#include <fstream>
#include <iterator>

#include <gtest/gtest.h>

#include "tests/e2e/program.h"
#include "tests/e2e/temp_dir.h"

namespace kportal::test {
namespace {

constexpr char const* kGood =
    "contexts:\n"
    "  - name: lab\n"
    "    namespaces:\n"
    "      - name: default\n"
    "        forwards:\n"
    "          - { resource: pod/web, port: 80, localPort: auto }\n";

struct Outcome {
  int code = -1000;
  std::string output;
  std::string errors;
};

Outcome run(std::vector<std::string> arguments, ProgramOptions options = {}) {
  Program program(std::move(arguments), std::move(options));
  Outcome outcome;
  outcome.code = program.wait().value_or(-1000);
  for (OutputLine const& line : program.lines()) outcome.output += line.text + "\n";
  outcome.errors = program.errors();
  return outcome;
}

class CommandLineTest : public testing::Test {
 protected:
  // `up` and `validate` on a file both say `part` of it and exit with 3.
  void expect_rejected(std::string const& file, std::string const& part) {
    for (std::string const command : {"up", "validate"}) {
      Outcome const outcome = run({command, "-f", file});
      EXPECT_EQ(outcome.code, 3) << command << " " << file;
      EXPECT_NE(outcome.errors.find(part), std::string::npos)
          << command << " says " << outcome.errors;
      EXPECT_EQ(outcome.output, "") << command << " " << file;
    }
  }

  TempDir dir_;
};

TEST_F(CommandLineTest, Version) {
  Outcome const outcome = run({"version"});
  EXPECT_EQ(outcome.code, 0);
  EXPECT_TRUE(outcome.output.starts_with("kportal-cpp ")) << outcome.output;
}

// It tells of its start-up when it is asked to; see cmd/no_gnutls.cc.
TEST_F(CommandLineTest, GnuTlsIsNotSetUp) {
  ProgramOptions options;
  options.environment = {"GNUTLS_DEBUG_LEVEL=9"};
  EXPECT_EQ(run({"version"}, options).errors, "");
}

TEST_F(CommandLineTest, AnAnswerThatCannotBeWrittenIsAFailure) {
  ProgramOptions options;
  options.wrapper = {"sh", "-c", "exec \"$@\" >/dev/full", "sh"};
  Program program({"version"}, options);
  EXPECT_EQ(program.wait(), 1);
  EXPECT_TRUE(program.wait_for_error_text("kportal-cpp: standard output: No space left"));
}

TEST_F(CommandLineTest, HelpIsNoFailure) {
  Outcome const outcome = run({"up", "--help"});
  EXPECT_EQ(outcome.code, 0);
  EXPECT_NE(outcome.output.find("--log-format"), std::string::npos);
}

TEST_F(CommandLineTest, UsageErrorsExitWith2AndSayWhy) {
  std::vector<std::vector<std::string>> const lines{{},
                                                    {"fly"},
                                                    {"up", "--no-such-option"},
                                                    {"up", "--log-format", "xml"},
                                                    {"up", "-v", "-q"},
                                                    {"up", "-f"},
                                                    {"demo", "--for", "ten"}};
  for (auto const& line : lines) {
    Outcome const outcome = run(line);
    EXPECT_EQ(outcome.code, 2) << (line.empty() ? "" : line.back());
    EXPECT_NE(outcome.errors, "");
    EXPECT_EQ(outcome.output, "");
  }
}

TEST_F(CommandLineTest, AWrongWordIsNamed) {
  EXPECT_EQ(run({"fly"}).errors,
            "kportal-cpp: fly: no such command; --help lists those there are\n");
  EXPECT_TRUE(run({"doctor", "-o", "xml"}).errors.starts_with("--output: \"xml\" is none of "));
  for (std::string const command : {"up", "doctor"}) {
    ProgramOptions in_an_empty_folder;
    in_an_empty_folder.directory = dir_.path();
    Outcome const outcome = run({command, "svc/web", "http2:80"}, in_an_empty_folder);
    EXPECT_EQ(outcome.code, 2);
    EXPECT_TRUE(outcome.errors.starts_with("argument 2: the local port must be a number"))
        << outcome.errors;
  }
}

TEST_F(CommandLineTest, CommandsThatAreNotBuiltSaySo) {
  for (std::string const command : {"status", "exec", "schema"}) {
    Outcome const outcome = run({command});
    EXPECT_EQ(outcome.code, 2) << command;
    EXPECT_NE(outcome.errors.find(command + ": not built yet"), std::string::npos);
  }
}

TEST_F(CommandLineTest, ValidateCountsTheForwards) {
  std::string const file = dir_.write("good.yaml", kGood);
  for (std::string const command : {"validate", "check"}) {
    Outcome const outcome = run({command, "-f", file});
    EXPECT_EQ(outcome.code, 0) << outcome.errors;
    EXPECT_EQ(outcome.output, "valid: 1 forwards\n");
  }
}

TEST_F(CommandLineTest, ValidateReadsStandardInput) {
  ProgramOptions options;
  options.input = kGood;
  EXPECT_EQ(run({"validate", "-f", "-"}, options).code, 0);
  options.input = "contexts: [";
  Outcome const bad = run({"validate", "-f", "-"}, options);
  EXPECT_EQ(bad.code, 3);
  EXPECT_NE(bad.errors.find("<stdin>:1:"), std::string::npos) << bad.errors;
}

TEST_F(CommandLineTest, AllProblemsOfAFileComeAtOnceWithTheirPlaces) {
  std::string const file =
      dir_.write("bad.yaml",
                 "healthChek: {}\n"
                 "contexts:\n"
                 "  - name: lab\n"
                 "    namespaces:\n"
                 "      - name: default\n"
                 "        forwards:\n"
                 "          - { resource: pod/web, port: 80, localPort: 99999 }\n"
                 "          - { resource: pod/web, port: 80, locPort: 1 }\n");
  expect_rejected(file, file + ":1:1: ");
  expect_rejected(file, file + ":7:");
  expect_rejected(file, file + ":8:");
  expect_rejected(file, "healthChek");
  expect_rejected(file, "locPort");
}

TEST_F(CommandLineTest, FilesThatAreNoConfiguration) {
  expect_rejected(dir_.file("missing.yaml"), "missing.yaml");
  expect_rejected(dir_.write("empty.yaml", ""), "empty.yaml");
  expect_rejected(dir_.write("malformed.yaml", "contexts: [\n"), "malformed.yaml:");
  expect_rejected(dir_.write("latin.yaml", "contexts: [] # \xe9\xff\n"), "latin.yaml:1:");
  expect_rejected(dir_.write("huge.yaml", std::string(1024 * 1024 + 1, '#')), "huge.yaml");
  expect_rejected(dir_.path(), dir_.path());
}

TEST_F(CommandLineTest, AYamlBombIsNotExpanded) {
  std::string text = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n";
  for (int i = 1; i < 12; ++i) {
    std::string const before = "*a" + std::to_string(i - 1);
    text += "a" + std::to_string(i) + ": &a" + std::to_string(i) + " [" + before;
    for (int k = 0; k < 9; ++k) text += ", " + before;
    text += "]\n";
  }
  expect_rejected(dir_.write("bomb.yaml", text + "contexts: *a11\n"), "bomb.yaml:");
}

TEST_F(CommandLineTest, NoFileToBeFound) {
  ProgramOptions options;
  options.directory = dir_.path();
  options.environment = {"HOME=" + dir_.path(), "XDG_CONFIG_HOME=" + dir_.path()};
  Outcome const outcome = run({"up"}, options);
  EXPECT_EQ(outcome.code, 3);
  EXPECT_NE(outcome.errors.find("forwards.yaml"), std::string::npos) << outcome.errors;
}

TEST_F(CommandLineTest, AFileIsFoundInTheWorkingDirectory) {
  dir_.write("forwards.yaml", kGood);
  ProgramOptions options;
  options.directory = dir_.path();
  EXPECT_EQ(run({"validate"}, options).output, "valid: 1 forwards\n");
}

TEST_F(CommandLineTest, AnUnknownNameIsAMistakeOfTheConfiguration) {
  Outcome const outcome = run({"up", "-f", dir_.write("good.yaml", kGood), "nothing"});
  EXPECT_EQ(outcome.code, 3);
  EXPECT_NE(outcome.errors.find("nothing"), std::string::npos) << outcome.errors;
}

TEST_F(CommandLineTest, WhyItDoesNotStartIsToldBesideTheLogFileToo) {
  std::string const bad = dir_.write("bad.yaml", "contexts: 1\n");
  for (std::string const& file : {bad, dir_.file("missing.yaml")}) {
    std::string const log = dir_.file("log");
    Outcome const outcome = run({"up", "-f", file, "--log-file", log});
    EXPECT_EQ(outcome.code, 3);
    EXPECT_NE(outcome.errors.find(file), std::string::npos) << outcome.errors;
    std::ifstream written(log);
    std::string const text{std::istreambuf_iterator<char>(written), {}};
    EXPECT_NE(text.find(file), std::string::npos) << text;
  }
}

TEST_F(CommandLineTest, ALogFileThatCannotBeOpenedIsAFailure) {
  Outcome const outcome = run({"up", "-f", dir_.write("good.yaml", kGood), "--log-file",
                               dir_.file("no/such/directory/log")});
  EXPECT_EQ(outcome.code, 1);
  EXPECT_NE(outcome.errors.find("no/such/directory/log"), std::string::npos) << outcome.errors;
}

}  // namespace
}  // namespace kportal::test
