// SPDX-License-Identifier: MIT
#include "config/file_state.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/config/support.h"

namespace kportal::config {
namespace {

namespace fs = std::filesystem;
using testing::ElementsAre;

class FileStateTest : public testing::Test {
 protected:
  // The directory of a temporary directory may itself be a symlink.
  FileStateTest() : root_(fs::canonical(dir_.path()).string()) {}
  Lookup at(std::string const& directory, std::string const& name) const {
    return {directory.empty() ? root_ : root_ + "/" + directory, name};
  }
  TempDirectory dir_;
  std::string root_;
};

TEST_F(FileStateTest, DiffersWhenAnythingDiffers) {
  std::string const path = root_ + "/f";
  FileState const missing = file_state(path);
  EXPECT_EQ(missing, file_state(path));
  write_file(path, "one");
  FileState const one = file_state(path);
  EXPECT_NE(one, missing);
  EXPECT_EQ(one, file_state(path));
  write_file(path, "two");
  EXPECT_NE(one.content_hash, file_state(path).content_hash);
  write_file(path, "one");
  EXPECT_EQ(one.content_hash, file_state(path).content_hash);
  fs::remove(path);
  EXPECT_EQ(file_state(path), missing);
}

TEST_F(FileStateTest, SeesThePermissions) {
  std::string const path = root_ + "/f";
  write_file(path, "one");
  FileStat const before = file_stat(path);
  fs::permissions(path, fs::perms::owner_read);
  EXPECT_NE(file_stat(path), before);
}

TEST_F(FileStateTest, ListsAPlainFile) {
  write_file(root_ + "/f", "");
  EXPECT_THAT(lookups(root_ + "/f"), ElementsAre(at("", "f")));
  EXPECT_THAT(lookups(root_ + "/./x/../f"), ElementsAre(at("", "x"))) << "x is not there";
  EXPECT_THAT(lookups(root_ + "//f"), ElementsAre(at("", "f")));
}

TEST_F(FileStateTest, ListsTheFirstMissingName) {
  EXPECT_THAT(lookups(root_ + "/a/b/c"), ElementsAre(at("", "a")));
  fs::create_directories(root_ + "/a/b");
  EXPECT_THAT(lookups(root_ + "/a/b/c"), ElementsAre(at("a/b", "c")));
}

// As the kubelet lays a ConfigMap out.
TEST_F(FileStateTest, ListsEverySymlink) {
  fs::create_directory(root_ + "/..2026_1");
  write_file(root_ + "/..2026_1/f", "");
  fs::create_symlink("..2026_1", root_ + "/..data");
  fs::create_symlink("..data/f", root_ + "/f");
  EXPECT_THAT(lookups(root_ + "/f"),
              ElementsAre(at("", "f"), at("", "..data"), at("..2026_1", "f")));
}

TEST_F(FileStateTest, FollowsSymlinksBetweenDirectories) {
  fs::create_directories(root_ + "/real/sub");
  fs::create_directory(root_ + "/links");
  write_file(root_ + "/real/f", "");
  fs::create_symlink(root_ + "/real/sub", root_ + "/links/abs");
  fs::create_symlink("../f", root_ + "/real/sub/up");
  EXPECT_THAT(lookups(root_ + "/links/abs/up"),
              ElementsAre(at("links", "abs"), at("real/sub", "up"), at("real", "f")));
  fs::remove(root_ + "/real/f");
  EXPECT_THAT(lookups(root_ + "/links/abs/up"),
              ElementsAre(at("links", "abs"), at("real/sub", "up"), at("real", "f")));
}

TEST_F(FileStateTest, EndsInASymlinkLoop) {
  fs::create_symlink("b", root_ + "/a");
  fs::create_symlink("a", root_ + "/b");
  EXPECT_LE(lookups(root_ + "/a").size(), 50U);
}

}  // namespace
}  // namespace kportal::config
