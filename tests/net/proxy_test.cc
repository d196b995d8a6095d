// SPDX-License-Identifier: MIT
#include "net/proxy.h"

#include <string>

#include <gtest/gtest.h>

namespace kportal::net {
namespace {

TEST(ProxyTest, ReadsSchemesHostsAndPorts) {
  struct Row {
    char const* url;
    Proxy::Kind kind;
    char const* place;
  };
  Row const rows[] = {
      {"http://p.test", Proxy::Kind::http, "p.test:80"},
      {"https://p.test", Proxy::Kind::https, "p.test:443"},
      {"socks5://p.test", Proxy::Kind::socks5, "p.test:1080"},
      {"socks5h://p.test", Proxy::Kind::socks5, "p.test:1080"},
      {"HTTP://P.test:3128/", Proxy::Kind::http, "P.test:3128"},
      {"http://10.0.0.1:", Proxy::Kind::http, "10.0.0.1:80"},
      {"http://[::1]:3128?x#y", Proxy::Kind::http, "[::1]:3128"},
      {"http://[fe80::1]", Proxy::Kind::http, "[fe80::1]:80"},
      {"http://a_b-c.test:65535/path@x", Proxy::Kind::http, "a_b-c.test:65535"},
  };
  for (auto const& row : rows) {
    auto const proxy = parse_proxy(row.url);
    ASSERT_TRUE(proxy) << row.url << ": " << proxy.error().text;
    EXPECT_EQ(proxy->kind, row.kind) << row.url;
    EXPECT_EQ(place(*proxy), row.place);
    EXPECT_FALSE(proxy->has_login);
  }
}

TEST(ProxyTest, ReadsLogins) {
  EXPECT_EQ(parse_proxy("http://u:w@o/rd@p.test")->host, "o");  // the slash begins the path
  auto const encoded = parse_proxy("http://us%65r:p%40ss:w%2Ford@p.test");
  ASSERT_TRUE(encoded) << encoded.error().text;
  EXPECT_TRUE(encoded->has_login);
  EXPECT_EQ(encoded->user, "user");
  EXPECT_EQ(encoded->password, "p@ss:w/ord");
  EXPECT_EQ(encoded->host, "p.test");
  auto const bare = parse_proxy("http://me@p.test");
  EXPECT_TRUE(bare->has_login);
  EXPECT_EQ(bare->password, "");
  EXPECT_EQ(parse_proxy("http://u:a@b@p.test")->password, "a@b");
}

TEST(ProxyTest, RefusesWhatIsNoneWithoutShowingIt) {
  for (std::string const url : {"",
                                "::",
                                "s3cret",
                                "ftp://u:s3cret@p",
                                "http://",
                                "http://u:s3cret@",
                                "http://u:s3cret@:80",
                                "http://u:s3cret@p:0",
                                "http://u:s3cret@p:65536",
                                "http://u:s3cret@p:8x",
                                "http://u:s3cret@p:-1",
                                "http://u:s3cret@[::1",
                                "http://u:s3cret@[p]",
                                "http://u:s3cret@[::1]8",
                                "http://u:s3cret@::1",
                                "http://u:s3cret%@p",
                                "http://u:s3cret%4@p",
                                "http://u:s3cret%zz@p",
                                "http://u:s3cret%00@p",
                                "http://u:s3cret@a b",
                                "http://u:s3cret@p\n",
                                "http://u:s3cret@b\xc3\xbc"
                                "cher"}) {
    auto const proxy = parse_proxy(url);
    ASSERT_FALSE(proxy) << url;
    EXPECT_EQ(proxy.error().code, Errc::kubeconfig);
    EXPECT_EQ(proxy.error().text.find("s3cret"), std::string::npos) << proxy.error().text;
  }
  EXPECT_FALSE(parse_proxy("http://" + std::string(254, 'a')));
}

}  // namespace
}  // namespace kportal::net
