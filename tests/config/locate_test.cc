// SPDX-License-Identifier: MIT
#include "config/locate.h"

#include <algorithm>

#include <gtest/gtest.h>

#include "tests/config/support.h"

namespace kportal::config {
namespace {

class LocateTest : public testing::Test {
 protected:
  // The path that is found, or "" and the error in error_.
  std::string found(std::string const& directory, std::vector<std::string> files) {
    auto const exists = [files](std::string const& path) {
      return std::find(files.begin(), files.end(), path) != files.end();
    };
    Result<std::string> const result = locate(directory, environment(variables_), exists);
    if (result.has_value()) return *result;
    EXPECT_EQ(result.error().code, Errc::not_found);
    error_ = result.error().text;
    return "";
  }
  std::map<std::string, std::string> variables_{{"HOME", "/home/u"}};
  std::string error_;
};

TEST_F(LocateTest, TakesTheVariableWhateverExists) {
  variables_["KPORTAL_CONFIG"] = "some/where.yaml";
  EXPECT_EQ(found("/home/u/a", {"/home/u/a/forwards.yaml"}), "some/where.yaml");
  variables_["KPORTAL_CONFIG"] = "";
  EXPECT_EQ(found("/home/u/a", {"/home/u/a/forwards.yaml"}), "/home/u/a/forwards.yaml");
}

TEST_F(LocateTest, PrefersTheNearestDirectory) {
  EXPECT_EQ(found("/home/u/a/b", {"/home/u/a/b/forwards.yaml", "/home/u/a/.kportal.yaml"}),
            "/home/u/a/b/forwards.yaml");
  EXPECT_EQ(found("/home/u/a/b", {"/home/u/a/b/forwards.yaml", "/home/u/a/b/.kportal.yaml"}),
            "/home/u/a/b/.kportal.yaml");
  EXPECT_EQ(found("/home/u/a/b/", {"/home/u/a/forwards.yaml"}), "/home/u/a/forwards.yaml");
}

TEST_F(LocateTest, StopsAtTheHomeDirectory) {
  EXPECT_EQ(found("/home/u/a/b", {"/home/u/forwards.yaml", "/home/forwards.yaml"}),
            "/home/u/forwards.yaml");
  EXPECT_EQ(found("/home/u/a", {"/home/forwards.yaml", "/forwards.yaml"}), "");
  variables_["HOME"] = "/home/u/";
  EXPECT_EQ(found("/home/u/a", {"/home/forwards.yaml"}), "");
}

TEST_F(LocateTest, GoesToTheRootOutsideOfTheHomeDirectory) {
  EXPECT_EQ(found("/srv/a", {"/forwards.yaml"}), "/forwards.yaml");
  EXPECT_EQ(found("/home/user", {"/home/forwards.yaml"}), "/home/forwards.yaml");
  EXPECT_EQ(found("/", {"/.kportal.yaml"}), "/.kportal.yaml");
  variables_.erase("HOME");
  EXPECT_EQ(found("/home/u/a", {"/forwards.yaml"}), "/forwards.yaml");
}

TEST_F(LocateTest, FallsBackToTheUsersOwnFile) {
  EXPECT_EQ(found("/srv", {"/home/u/.config/kportal-cpp/forwards.yaml"}),
            "/home/u/.config/kportal-cpp/forwards.yaml");
  variables_["XDG_CONFIG_HOME"] = "/xdg";
  EXPECT_EQ(found("/srv",
                  {"/home/u/.config/kportal-cpp/forwards.yaml", "/xdg/kportal-cpp/forwards.yaml"}),
            "/xdg/kportal-cpp/forwards.yaml");
  variables_["XDG_CONFIG_HOME"] = "relative";
  EXPECT_EQ(found("/srv", {"relative/kportal-cpp/forwards.yaml"}), "");
}

TEST_F(LocateTest, SaysWhereItLooked) {
  EXPECT_EQ(found("/home/u/a/b", {}), "");
  EXPECT_EQ(
      error_,
      "no configuration found: no .kportal.yaml or forwards.yaml in /home/u/a/b or above it up to "
      "/home/u, and no /home/u/.config/kportal-cpp/forwards.yaml; write one, or name one with -f");
  variables_.erase("HOME");
  EXPECT_EQ(found("/srv", {}), "");
  EXPECT_EQ(error_,
            "no configuration found: no .kportal.yaml or forwards.yaml in /srv or above it up to "
            "/; write "
            "one, or name one with -f");
}

}  // namespace
}  // namespace kportal::config
