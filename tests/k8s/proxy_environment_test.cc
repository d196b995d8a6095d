// SPDX-License-Identifier: MIT
#include "k8s/proxy_environment.h"

#include <map>
#include <string>

#include <gmock/gmock.h>

namespace kportal::k8s {
namespace {

using testing::HasSubstr;
using testing::Not;

Server server_at(std::string host, std::uint16_t port = 443, bool tls = true) {
  Server server;
  server.tls = tls;
  server.host = std::move(host);
  server.port = port;
  return server;
}

Result<std::optional<net::Proxy>> chosen(Server const& server,
                                         std::map<std::string, std::string> variables) {
  Environment environment;
  environment.variable = [&](std::string const& name) -> std::optional<std::string> {
    auto const found = variables.find(name);
    if (found == variables.end()) return std::nullopt;
    return found->second;
  };
  return environment_proxy(server, environment);
}

std::string chosen_place(Server const& server, std::map<std::string, std::string> variables) {
  auto const proxy = chosen(server, std::move(variables));
  if (!proxy) return proxy.error().text;
  return *proxy ? net::place(**proxy) : "none";
}

TEST(ProxyEnvironmentTest, ByTheServersScheme) {
  auto const secure = server_at("api.test");
  auto const plain = server_at("api.test", 80, false);
  EXPECT_EQ(chosen_place(secure, {{"HTTPS_PROXY", "http://s:1"}, {"HTTP_PROXY", "http://p:2"}}),
            "s:1");
  EXPECT_EQ(chosen_place(plain, {{"HTTPS_PROXY", "http://s:1"}, {"HTTP_PROXY", "http://p:2"}}),
            "p:2");
  EXPECT_EQ(chosen_place(secure, {{"HTTP_PROXY", "http://p:2"}}), "none");
  EXPECT_EQ(chosen_place(plain, {{"HTTPS_PROXY", "http://s:1"}}), "none");
  EXPECT_EQ(chosen_place(secure, {{"ALL_PROXY", "http://a:3"}, {"all_proxy", "http://a:3"}}),
            "none");
}

TEST(ProxyEnvironmentTest, UpperCaseFirstAndEmptyIsUnset) {
  auto const secure = server_at("api.test");
  EXPECT_EQ(chosen_place(secure, {{"HTTPS_PROXY", "http://u:1"}, {"https_proxy", "http://l:2"}}),
            "u:1");
  EXPECT_EQ(chosen_place(secure, {{"HTTPS_PROXY", ""}, {"https_proxy", "http://l:2"}}), "l:2");
  EXPECT_EQ(chosen_place(server_at("api.test", 80, false), {{"http_proxy", "http://l:2"}}), "l:2");
  EXPECT_EQ(chosen_place(secure, {{"https_proxy", "http://l:2"}, {"no_proxy", "test"}}), "none");
}

TEST(ProxyEnvironmentTest, WithoutASchemeItIsAnHttpProxy) {
  auto const proxy = chosen(server_at("api.test"), {{"HTTPS_PROXY", "me:pw@proxy.test:3128"}});
  ASSERT_TRUE(proxy && *proxy);
  EXPECT_EQ((*proxy)->kind, net::Proxy::Kind::http);
  EXPECT_EQ((*proxy)->password, "pw");
  EXPECT_EQ(chosen_place(server_at("api.test"), {{"HTTPS_PROXY", "proxy.test"}}), "proxy.test:80");
  EXPECT_EQ(chosen_place(server_at("api.test"), {{"HTTPS_PROXY", "socks5h://p"}}), "p:1080");
}

TEST(ProxyEnvironmentTest, ABadOneNamesTheVariableAndNoPassword) {
  for (std::string const value : {"ftp://u:s3cret@p", "http://u:s3cret@p:x", "u:s3cret@:80"}) {
    auto const proxy = chosen(server_at("api.test"), {{"https_proxy", value}});
    ASSERT_FALSE(proxy) << value;
    EXPECT_EQ(proxy.error().code, Errc::kubeconfig);
    EXPECT_THAT(proxy.error().text, HasSubstr("https_proxy"));
    EXPECT_THAT(proxy.error().text, Not(HasSubstr("s3cret")));
  }
  // What is not used is not judged.
  EXPECT_EQ(chosen_place(server_at("127.0.0.1"), {{"HTTPS_PROXY", "ftp://x"}}), "none");
}

// Expected as golang.org/x/net/http/httpproxy decides.
TEST(NoProxyTest, AsGoDecides) {
  struct Row {
    char const* no_proxy;
    char const* host;
    std::uint16_t port;
    bool exempt;
  };
  Row const rows[] = {
      {"", "api.test", 443, false},
      {"*", "api.test", 443, true},
      {"x, * ", "10.0.0.1", 443, true},
      {"*.x", "api.test", 443, false},
      // loopback
      {"", "localhost", 443, true},
      {"", "127.0.0.1", 443, true},
      {"", "127.9.9.9", 443, true},
      {"", "::1", 443, true},
      {"", "localhost.test", 443, false},
      // names
      {"api.test", "api.test", 443, true},
      {"API.test", "api.TEST", 443, true},
      {" other , api.test ", "api.test", 443, true},
      {"test", "api.test", 443, true},
      {"est", "api.test", 443, false},
      {"pi.test", "api.test", 443, false},
      {".test", "api.test", 443, true},
      {".api.test", "api.test", 443, false},
      {"*.test", "api.test", 443, true},
      {"*.api.test", "api.test", 443, false},
      {"a*.test", "api.test", 443, false},
      {"api.test.", "api.test", 443, false},
      {"api", "api.test", 443, false},
      // ports
      {"api.test:443", "api.test", 443, true},
      {"api.test:443", "api.test", 6443, false},
      {".test:6443", "api.test", 6443, true},
      {"api.test:", "api.test", 6443, true},
      {":443", "api.test", 443, false},
      {"10.0.0.1:443", "10.0.0.1", 443, true},
      {"10.0.0.1:443", "10.0.0.1", 444, false},
      {"[2001:db8::1]:443", "2001:db8::1", 443, true},
      {"[2001:db8::1]:443", "2001:db8::1", 444, false},
      // addresses
      {"10.0.0.1", "10.0.0.1", 443, true},
      {"10.0.0.1", "10.0.0.10", 443, false},
      {"0.0.1", "10.0.0.1", 443, false},
      {"2001:db8::1", "2001:db8:0::1", 443, true},
      {"[2001:db8::1]", "2001:db8::1", 443, false},
      {"10.0.0.1", "::ffff:10.0.0.1", 443, true},
      // ranges
      {"10.0.0.0/8", "10.200.3.4", 443, true},
      {"10.1.2.3/8", "10.200.3.4", 443, true},
      {"10.0.0.0/9", "10.200.3.4", 443, false},
      {"0.0.0.0/0", "10.200.3.4", 443, true},
      {"0.0.0.0/0", "2001:db8::1", 443, false},
      {"10.200.3.4/32", "10.200.3.4", 443, true},
      {"2001:db8::/33", "2001:db8:7fff::1", 443, true},
      {"2001:db8::/33", "2001:db8:8000::1", 443, false},
      {"10.0.0.0/33", "10.0.0.1", 443, false},
      {"10.0.0.0/", "10.0.0.1", 443, false},
      {"10.0.0.0/8", "ten.test", 443, false},
      // rubbish
      {",,  ,", "api.test", 443, false},
      {".", "api.test", 443, false},
  };
  for (auto const& row : rows) {
    EXPECT_EQ(is_exempt(server_at(row.host, row.port), row.no_proxy), row.exempt)
        << row.no_proxy << " for " << row.host << ":" << row.port;
  }
}

}  // namespace
}  // namespace kportal::k8s
