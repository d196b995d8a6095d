// SPDX-License-Identifier: MIT
#include "doctor/words.h"

#include <gtest/gtest.h>

#include "doctor/self_review.h"

namespace kportal::doctor {
namespace {

using namespace std::chrono;
using namespace std::chrono_literals;

WallTime at(int y, unsigned m, unsigned d) {
  return sys_days(year(y) / month(m) / day(d));
}

net::CertificateFacts certificate() {
  net::CertificateFacts facts;
  facts.subject = "kube-apiserver";
  facts.issuer = "kubernetes-ca";
  facts.names = {"a", "b", "c", "d", "e"};
  facts.not_before = at(2026, 1, 1);
  facts.not_after = at(2027, 1, 1);
  return facts;
}

TEST(WordsTest, ValidityByTheClock) {
  EXPECT_EQ(validity(certificate(), at(2026, 12, 1)), "valid until 2027-01-01, 31 days");
  EXPECT_EQ(validity(certificate(), at(2026, 12, 30) + 1h), "valid until 2027-01-01, 1 day");
  EXPECT_EQ(validity(certificate(), at(2027, 2, 1)), "expired on 2027-01-01");
  EXPECT_EQ(validity(certificate(), at(2025, 2, 1)), "not valid before 2026-01-01");
}

TEST(WordsTest, AnEndThatIsNearIsWarnedOf) {
  EXPECT_EQ(end_warning("it", certificate(), at(2026, 12, 1)), "");
  EXPECT_EQ(end_warning("it", certificate(), at(2026, 12, 20)),
            "it ends in 12 days, on 2027-01-01");
  EXPECT_EQ(end_warning("it", certificate(), at(2027, 2, 1)), "it expired on 2027-01-01");
}

TEST(WordsTest, Tls) {
  net::TlsFacts facts;
  facts.version = "TLSv1.3";
  EXPECT_EQ(tls_words(facts, at(2026, 12, 1)), "TLSv1.3");
  facts.certificate = certificate();
  EXPECT_EQ(
      tls_words(facts, at(2026, 12, 1)),
      "TLSv1.3, certificate of kube-apiserver for a, b, c and 2 more, by kubernetes-ca, valid "
      "until 2027-01-01, 31 days");
}

TEST(SelfReviewTest, ReadsTheUser) {
  auto const user = parse_self_review(
      R"({"kind":"SelfSubjectReview","status":{"userInfo":{"username":"jane","groups":["dev"]}}})");
  ASSERT_TRUE(user.has_value());
  EXPECT_EQ(user->name, "jane");
  EXPECT_EQ(user->groups, std::vector<std::string>{"dev"});
  EXPECT_FALSE(user->anonymous());
}

TEST(SelfReviewTest, NonsenseIsAnError) {
  for (char const* const text :
       {"", "[]", "null", "{", "{\"status\":1}", "{\"status\":{}}",
        "{\"status\":{\"userInfo\":{\"username\":7}}}", "{\"status\":{\"userInfo\":[]}}"}) {
    EXPECT_TRUE(parse_self_review(text).has_error()) << text;
  }
}

}  // namespace
}  // namespace kportal::doctor
