// SPDX-License-Identifier: MIT
#include "k8s/credentials.h"

#include <optional>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/loop_fixture.h"

namespace kportal::k8s {
namespace {

using std::chrono::seconds;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
using testing::Pair;

// One token file; nullopt = there is none.
struct TokenFile {
  std::optional<std::string> text;
  int reads = 0;

  FileReader reader() {
    return
        [this](std::string const& path, std::size_t limit) -> boost::system::result<std::string> {
          EXPECT_EQ(path, "/run/token");
          EXPECT_EQ(limit, Credentials::kMaxTokenFileSize);
          ++reads;
          if (text) return *text;
          return error_code(make_error_code(boost::system::errc::no_such_file_or_directory));
        };
  }
};

Auth token_file_auth(std::string token = "") {
  Auth auth;
  auth.token = std::move(token);
  auth.token_file = "/run/token";
  return auth;
}

std::string authorization(Credentials& credentials, TimePoint now) {
  auto const headers = credentials.headers(now);
  if (!headers) return "error: " + headers.error().text;
  for (auto const& [name, value] : *headers) {
    if (name == "Authorization") return value;
  }
  return "";
}

TimePoint const kStart = TimePoint() + std::chrono::hours(1);

TEST(CredentialsTest, AnonymousSendsNothing) {
  TokenFile file;
  Credentials credentials({}, file.reader());
  auto const headers = credentials.headers(kStart);
  ASSERT_TRUE(headers);
  EXPECT_THAT(*headers, IsEmpty());
  EXPECT_FALSE(credentials.refresh(kStart));
  EXPECT_EQ(file.reads, 0);
}

TEST(CredentialsTest, StaticTokenIsABearer) {
  TokenFile file;
  Auth auth;
  auth.token = "abc";
  Credentials credentials(auth, file.reader());
  EXPECT_EQ(authorization(credentials, kStart), "Bearer abc");
  EXPECT_FALSE(credentials.refresh(kStart));
}

TEST(CredentialsTest, BasicIsBase64OfTheUtf8Text) {
  struct Row {
    char const* username;
    char const* password;
    char const* expected;
  };
  // RFC 7617's examples, and the three lengths of padding.
  Row const rows[] = {{"Aladdin", "open sesame", "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="},
                      {"test", "123\xC2\xA3", "Basic dGVzdDoxMjPCow=="},
                      {"a", "", "Basic YTo="},
                      {"a", "b", "Basic YTpi"},
                      {"a", "bc", "Basic YTpiYw=="}};
  for (Row const& row : rows) {
    Auth auth;
    auth.username = row.username;
    auth.password = row.password;
    Credentials credentials(auth, TokenFile().reader());
    EXPECT_EQ(authorization(credentials, kStart), row.expected);
  }
}

TEST(CredentialsTest, TokenFileIsTrimmedAndReadOnceAMinute) {
  TokenFile file{" \nfirst\r\n"};
  Credentials credentials(token_file_auth(), file.reader());
  EXPECT_EQ(authorization(credentials, kStart), "Bearer first");
  file.text = "second";
  EXPECT_EQ(authorization(credentials, kStart + seconds(59)), "Bearer first");
  EXPECT_EQ(file.reads, 1);
  EXPECT_EQ(authorization(credentials, kStart + seconds(60)), "Bearer second");
  EXPECT_EQ(file.reads, 2);
}

TEST(CredentialsTest, LastGoodTokenWinsWhenTheFileFails) {
  TokenFile file{"good"};
  Credentials credentials(token_file_auth(), file.reader());
  EXPECT_EQ(authorization(credentials, kStart), "Bearer good");
  std::optional<std::string> const failures[] = {std::nullopt, "", " \n", "two\nlines"};
  TimePoint now = kStart;
  for (auto const& text : failures) {
    file.text = text;
    now += seconds(60);
    EXPECT_EQ(authorization(credentials, now), "Bearer good");
  }
  EXPECT_EQ(file.reads, 5);
  EXPECT_EQ(authorization(credentials, now + seconds(1)), "Bearer good");
  EXPECT_EQ(file.reads, 5);
}

TEST(CredentialsTest, WithoutAnyTokenAnEmptyOrMissingFileIsAnError) {
  TokenFile file;
  Credentials credentials(token_file_auth(), file.reader());
  auto const missing = credentials.headers(kStart);
  ASSERT_FALSE(missing);
  EXPECT_EQ(missing.error().code, Errc::unauthorized);
  EXPECT_THAT(missing.error().text, HasSubstr("tokenFile /run/token cannot be read"));
  file.text = "\n";
  EXPECT_EQ(authorization(credentials, kStart), "error: tokenFile /run/token is empty");
  file.text = "s3cret\nmore";
  auto const lines = authorization(credentials, kStart);
  EXPECT_EQ(lines, "error: tokenFile /run/token holds more than one line");
  EXPECT_THAT(lines, Not(HasSubstr("s3cret")));
  file.text = "good";
  EXPECT_EQ(authorization(credentials, kStart), "Bearer good");
}

TEST(CredentialsTest, TokenFileWinsOverTokenWhileReadable) {
  TokenFile file;
  Credentials credentials(token_file_auth("static"), file.reader());
  EXPECT_EQ(authorization(credentials, kStart), "Bearer static");
  file.text = "file";
  EXPECT_EQ(authorization(credentials, kStart + seconds(60)), "Bearer file");
}

TEST(CredentialsTest, RefreshReadsNowAndTellsIfSomethingChanged) {
  TokenFile file{"old"};
  Credentials credentials(token_file_auth(), file.reader());
  (void)credentials.headers(kStart);
  EXPECT_FALSE(credentials.refresh(kStart + seconds(1)));
  file.text = "new";
  EXPECT_TRUE(credentials.refresh(kStart + seconds(2)));
  EXPECT_EQ(authorization(credentials, kStart + seconds(2)), "Bearer new");
  EXPECT_EQ(file.reads, 3);
  file.text.reset();
  EXPECT_FALSE(credentials.refresh(kStart + seconds(3)));
  EXPECT_EQ(authorization(credentials, kStart + seconds(3)), "Bearer new");
}

TEST(CredentialsTest, ImpersonationRepeatsGroupsAndEscapesExtraKeys) {
  Auth auth;
  auth.token = "t";
  auth.impersonation = {"jane", "u-1", {"dev", "ops"}, {{"Acme.com/Projekt %", {"a", "b"}}}};
  Credentials credentials(auth, TokenFile().reader());
  auto const headers = credentials.headers(kStart);
  ASSERT_TRUE(headers);
  EXPECT_THAT(*headers,
              ElementsAre(Pair("Authorization", "Bearer t"), Pair("Impersonate-User", "jane"),
                          Pair("Impersonate-Uid", "u-1"), Pair("Impersonate-Group", "dev"),
                          Pair("Impersonate-Group", "ops"),
                          Pair("Impersonate-Extra-Acme.com%2FProjekt%20%25", "a"),
                          Pair("Impersonate-Extra-Acme.com%2FProjekt%20%25", "b")));
}

// Without a plugin nothing waits.
class CredentialsIdentityTest : public test::LoopFixture {
 protected:
  awaitable<void> ask_for(Credentials& credentials) { identity_ = co_await credentials.identity(); }
  awaitable<void> ask_another(Credentials& credentials, std::uint64_t refused) {
    identity_ = co_await credentials.renewed(refused);
  }
  Result<SharedIdentity> identity_ = Error(Errc::closed, "not asked");
};

TEST_F(CredentialsIdentityTest, AnotherOneComesOfTheTokenFileOnly) {
  TokenFile file{"old"};
  Credentials credentials(token_file_auth(), file.reader());
  run(ask_for(credentials));
  ASSERT_TRUE(identity_);
  EXPECT_THAT((*identity_)->headers, ElementsAre(Pair("Authorization", "Bearer old")));
  auto const refused = (*identity_)->generation;
  run(ask_another(credentials, refused));
  ASSERT_FALSE(identity_);
  EXPECT_EQ(identity_.error().code, Errc::unauthorized);
  run(ask_for(credentials));
  ASSERT_TRUE(identity_);
  EXPECT_EQ((*identity_)->generation, refused) << "the file was read, and says the same";
  file.text = "new";
  run(ask_another(credentials, refused));
  ASSERT_TRUE(identity_);
  EXPECT_THAT((*identity_)->headers, ElementsAre(Pair("Authorization", "Bearer new")));
  run(ask_another(credentials, refused));  // somebody else has got it already
  ASSERT_TRUE(identity_);
  EXPECT_NE((*identity_)->generation, refused);
}

TEST_F(CredentialsIdentityTest, AStaticTokenHasNoOther) {
  Auth auth;
  auth.token = "t";
  Credentials credentials(auth, TokenFile().reader());
  EXPECT_EQ(credentials.plugin(), "");
  run(ask_for(credentials));
  ASSERT_TRUE(identity_);
  EXPECT_EQ((*identity_)->tls, nullptr);
  run(ask_another(credentials, (*identity_)->generation));
  EXPECT_FALSE(identity_);
}

}  // namespace
}  // namespace kportal::k8s
