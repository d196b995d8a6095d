// SPDX-License-Identifier: MIT
#include "config/grammar.h"

#include <gtest/gtest.h>

namespace kportal::config {
namespace {

std::string const k63(63, 'a');
std::string const k253(253, 'a');

TEST(GrammarTest, KnowsDnsLabelsAndSubdomains) {
  for (auto const& name : {std::string("a"), std::string("a-b"), std::string("1"), k63}) {
    EXPECT_FALSE(check_dns_label(name)) << name;
    EXPECT_FALSE(check_dns_subdomain(name)) << name;
  }
  for (auto const& name : {std::string(""), std::string("-a"), std::string("a-"), std::string("A"),
                           std::string("a_b"), std::string("a b"), std::string("\xc3\xa9")}) {
    EXPECT_TRUE(check_dns_label(name)) << name;
    EXPECT_TRUE(check_dns_subdomain(name)) << name;
  }
  EXPECT_TRUE(check_dns_label(k63 + "a"));
  EXPECT_TRUE(check_dns_label("a.b"));
  EXPECT_FALSE(check_dns_subdomain("a.b-c.d"));
  EXPECT_FALSE(check_dns_subdomain(k253));
  EXPECT_TRUE(check_dns_subdomain(k253 + "a"));
  for (char const* name : {".a", "a.", "a..b", "a.-b", "a-.b"}) {
    EXPECT_TRUE(check_dns_subdomain(name)) << name;
  }
}

TEST(GrammarTest, TakesAlmostAnyContextName) {
  for (char const* name : {"", "staging", "kubernetes-admin@kubernetes", "My Cluster",
                           "arn:aws:eks:eu-west-1:1:cluster/x", "gke_a_b_c", "\xc3\xa9t\xc3\xa9"}) {
    EXPECT_FALSE(check_context_name(name)) << name;
  }
  EXPECT_TRUE(check_context_name(" a"));
  EXPECT_TRUE(check_context_name("a "));
  EXPECT_TRUE(check_context_name("a\nb"));
  EXPECT_TRUE(check_context_name("a\x1b[31m"));
  EXPECT_TRUE(check_context_name(k253 + "a"));
}

TEST(GrammarTest, ReadsTargetsAsKubectlDoes) {
  struct Case {
    char const* resource;
    TargetKind kind;
    char const* name;
  };
  Case const cases[] = {
      {"pod/web", TargetKind::pod, "web"},
      {"po/web-0", TargetKind::pod, "web-0"},
      {"pods/web", TargetKind::pod, "web"},
      {"svc/api", TargetKind::service, "api"},
      {"service/api", TargetKind::service, "api"},
      {"services/api", TargetKind::service, "api"},
      {"deploy/a.b", TargetKind::deployment, "a.b"},
      {"deployment.apps/a", TargetKind::deployment, "a"},
      {"sts/db", TargetKind::statefulset, "db"},
      {"ds/agent", TargetKind::daemonset, "agent"},
      {"rs/a", TargetKind::replicaset, "a"},
      {"job/a", TargetKind::job, "a"},
      {"job.batch/a", TargetKind::job, "a"},
      {"rc/a", TargetKind::replication_controller, "a"},
  };
  for (Case const& c : cases) {
    Target target;
    EXPECT_EQ(parse_target(c.resource, "", target), Complaint()) << c.resource;
    EXPECT_EQ(target, (Target{c.kind, c.name, ""})) << c.resource;
  }
  Target target;
  EXPECT_EQ(parse_target("pod", "app=web", target), Complaint());
  EXPECT_EQ(target, (Target{TargetKind::pod, "", "app=web"}));
  EXPECT_EQ(parse_target("po", "app", target), Complaint());
}

TEST(GrammarTest, RefusesOtherTargets) {
  Target target;
  auto const complaint = [&](char const* resource, char const* selector = "") {
    return parse_target(resource, selector, target).value_or("");
  };
  EXPECT_EQ(complaint("pod"), "pod needs a name, as in pod/NAME, or a selector");
  EXPECT_EQ(complaint("service"), "\"service\" needs a name, as in service/NAME");
  EXPECT_EQ(complaint("svc", "a=b"), "\"svc\" needs a name, as in svc/NAME");
  EXPECT_EQ(complaint("pod/"), "the name after pod/ is missing");
  EXPECT_EQ(complaint("pod/web", "a=b"),
            "\"pod/web\" has a name, so it cannot have a selector too; selectors go with pod");
  EXPECT_EQ(complaint("svc/web", "a=b"),
            "\"svc/web\" has a name, so it cannot have a selector too; selectors go with pod");
  for (char const* resource : {"", "/", "/web", "web", "node/a", "Pod/web", "pod /web"}) {
    EXPECT_NE(complaint(resource).find("is no kind; it is one of pod, service"), std::string::npos)
        << resource;
  }
  for (char const* resource : {"pod/a/b", "pod/Web", "pod/ web", "pod/web-", "pod/a_b"}) {
    EXPECT_EQ(complaint(resource).find("the name must be lower-case letters"), 0U) << resource;
  }
}

TEST(GrammarTest, ReadsPorts) {
  for (char const* port :
       {"1", "80", "65535", "http", "a", "web-1", "8080-tcp", "abcdefghijklmno"}) {
    EXPECT_FALSE(check_port(port, TargetKind::pod)) << port;
  }
  for (char const* port : {"",
                           "0",
                           "65536",
                           "99999",
                           "100000",
                           "-1",
                           "+80",
                           "080",
                           "0x50",
                           "8_0",
                           "80.0",
                           " 80",
                           "Http",
                           "-http",
                           "http-",
                           "ht--tp",
                           "1234567890123456",
                           "abcdefghijklmnop",
                           "ht_tp",
                           "8080-"}) {
    EXPECT_TRUE(check_port(port, TargetKind::pod)) << port;
  }
  EXPECT_FALSE(check_port("abcdefghijklmnop", TargetKind::service)) << "a service's may be longer";
  EXPECT_FALSE(check_port("ht--tp", TargetKind::service));
  EXPECT_TRUE(check_port("99999", TargetKind::service));
  EXPECT_TRUE(check_port(k63 + "a", TargetKind::service));
}

TEST(GrammarTest, ReadsLocalPorts) {
  std::uint16_t port = 7;
  EXPECT_FALSE(parse_local_port("auto", port));
  EXPECT_EQ(port, 0);
  EXPECT_FALSE(parse_local_port("65535", port));
  EXPECT_EQ(port, 65535);
  for (char const* text : {"", "0", "65536", "http", "AUTO", "-1", "08"}) {
    EXPECT_TRUE(parse_local_port(text, port)) << text;
  }
}

TEST(GrammarTest, BringsAddressesToTheirUsualForm) {
  std::string out;
  auto const form = [&](std::string_view text) {
    return parse_address(text, out) ? std::string() : out;
  };
  EXPECT_EQ(form("localhost"), "localhost");
  EXPECT_EQ(form("127.0.0.2"), "127.0.0.2");
  EXPECT_EQ(form("0.0.0.0"), "0.0.0.0");
  EXPECT_EQ(form("::"), "::");
  EXPECT_EQ(form("0:0::1"), "::1");
  EXPECT_EQ(form("FE80::ABCD"), "fe80::abcd");
  EXPECT_EQ(form("::ffff:127.0.0.1"), "127.0.0.1");
  for (char const* text : {"", "Localhost", "example.com", "127.1", "127.0.0.01", "1.2.3.4.5",
                           "[::1]", "fe80::1%eth0", "127.0.0.1:80", "*", "127.0.0.1 "}) {
    EXPECT_EQ(form(text), "") << text;
  }
  EXPECT_EQ(form(std::string_view("127.0.0.1\0x", 11)), "") << "a NUL does not end it";
  EXPECT_EQ(form(std::string_view("::1\0", 4)), "");
}

TEST(GrammarTest, KnowsLoopback) {
  for (char const* text : {"localhost", "127.0.0.1", "127.9.9.9", "::1"}) {
    EXPECT_TRUE(is_loopback(text)) << text;
  }
  for (char const* text : {"0.0.0.0", "::", "10.0.0.1", "fe80::1", "12.7.0.0"}) {
    EXPECT_FALSE(is_loopback(text)) << text;
  }
}

// The cases of apimachinery's TestSelectorParse and TestParse, and the rest of the grammar.
TEST(GrammarTest, TakesSelectorsAsTheApiServerDoes) {
  for (char const* text : {"x=a,y=b,z=c",
                           "x!=a,y=b",
                           "x=",
                           "x= ",
                           "x=,z= ",
                           "x= ,z= ",
                           "!x",
                           "x",
                           "x>1",
                           "x<1",
                           "x>1,z<5",
                           "x==a",
                           "x==a,y==b",
                           "app in (web)",
                           "x in (a,b)",
                           "x notin (abc,def)",
                           "x notin(a)",
                           " x  in  ( a , b ) ",
                           "x in (,a)",
                           "x in (a,)",
                           "x in (,)",
                           "in=in",
                           "notin,in",
                           "!in",
                           "example.com/role=db",
                           "a.b-c.d/E_f.g=1.2_3-4",
                           "x=in",
                           "x in (in,notin)",
                           "x\t=\ta",
                           "!example.com/x,y",
                           "x,y,!z"}) {
    EXPECT_EQ(check_selector(text), Complaint()) << text;
  }
  for (char const* text :
       {"",       " ",          ",",       "x=a||y=b",   "x==a==b",    "!x=a",       "x<a",
        "x>",     "x,",         ",x",      "x,,y",       "x=a,",       "x=a y=b",    "x in",
        "x in a", "x in ()",    "x in (a", "x in (a b)", "x in (a=b)", "x in ((a))", "x y",
        "!",      "!!x",        "=a",      "x!a",        "x=!a",       "x=a)",       "(x)",
        "-x",     "x-",         "x=-a",    "a/b/c",      "/x",         "x/",         "A.B/x",
        "x=a/b",  "x=\xc3\xa9", "x$=a",    "x in (a,b",  "x notin"}) {
    EXPECT_TRUE(check_selector(text)) << text;
  }
  EXPECT_FALSE(check_selector("x>9223372036854775807"));
  EXPECT_TRUE(check_selector("x>9223372036854775808")) << "more than 64 bits";
  EXPECT_TRUE(check_selector("x>" + std::string(63, '0') + "1")) << "longer than a label's value";
  EXPECT_TRUE(check_selector(std::string(64, 'a')));
  EXPECT_TRUE(check_selector("x=" + std::string(64, 'a')));
  EXPECT_FALSE(check_selector(k63 + "=" + k63));
  std::string many = "x";
  while (many.size() < 4'096) many += ",x";
  EXPECT_TRUE(check_selector(many)) << "too long";
  // The API server would take it for the end, and select more than the file seems to say.
  using std::string_view_literals::operator""sv;
  for (auto const text : {"x=a\0"sv, "x=a\0,y=b"sv, "\0x"sv, "x in (a,\0)"sv, "x\0"sv}) {
    EXPECT_TRUE(check_selector(text)) << text.size();
  }
}

TEST(GrammarTest, SaysWhatIsWrongWithASelector) {
  EXPECT_EQ(check_selector("app in web"),
            "\"app in web\": in needs values in parentheses, such as in (a,b)");
  EXPECT_EQ(check_selector("app~web"),
            "\"app~web\": \"app~web\" is no label; write NAME or example.com/NAME");
  EXPECT_EQ(check_selector("app=web,"), "\"app=web,\": a label is missing at the end");
  EXPECT_EQ(check_selector("app=web tier=db"),
            "\"app=web tier=db\": \"tier\" is not expected here; join conditions with commas");
}

// Whatever comes, it ends and does not crash.
TEST(GrammarTest, SurvivesEverySelectorOfFourTokens) {
  constexpr std::string_view kTokens[] = {
      "a", "in", "notin", "=", "==", "!=", "!", "(", ")", ",", ">"};
  constexpr std::size_t kCount = std::size(kTokens);
  std::size_t accepted = 0;
  for (std::size_t number = 0; number < kCount * kCount * kCount * kCount; ++number) {
    std::string text;
    for (std::size_t rest = number, i = 0; i < 4; ++i, rest /= kCount) {
      text += kTokens[rest % kCount];
      text += ' ';
    }
    if (!check_selector(text)) ++accepted;
  }
  EXPECT_EQ(accepted, 72U);
}

}  // namespace
}  // namespace kportal::config
