// SPDX-License-Identifier: MIT
#include "base/error.h"

#include <cerrno>
#include <set>
#include <stdexcept>

#include <boost/asio/error.hpp>
#include <gtest/gtest.h>

namespace kportal {
namespace {

error_code system_code(int number) {
  return {number, boost::system::system_category()};
}

TEST(ErrorTest, EveryErrcHasWordsOfItsOwn) {
  std::set<std::string> words;
  int count = 0;
  for (int value = 1;; ++value, ++count) {
    std::string const message = make_error_code(static_cast<Errc>(value)).message();
    if (message == "unknown") break;
    EXPECT_TRUE(words.insert(message).second) << message;
  }
  EXPECT_GE(count, 25);
  EXPECT_EQ(make_error_code(Errc::closed).message(), "closed");
  EXPECT_EQ(make_error_code(Errc::ping_timeout).message(), "no answer to a ping");
  EXPECT_EQ(make_error_code(Errc::stream_failed).message(), "stream reset");
}

TEST(ErrorTest, ErrcMeetsErrorCode) {
  error_code const code = Errc::pod_gone;
  EXPECT_EQ(code, Errc::pod_gone);
  EXPECT_NE(code, Errc::pod_reset);
  EXPECT_TRUE(code.failed());
  EXPECT_STREQ(code.category().name(), "kportal");
}

TEST(ErrorTest, ContextIsBuiltOutward) {
  Error inner(Errc::tls, "certificate has expired");
  inner.retry_after = std::chrono::seconds(7);
  Error const outer = inner.within("tls").within("dial pod/web");
  EXPECT_EQ(outer.text, "dial pod/web: tls: certificate has expired");
  EXPECT_EQ(outer.code, Errc::tls);
  EXPECT_EQ(outer.retry_after, std::chrono::seconds(7));
  EXPECT_EQ(inner.text, "certificate has expired");
}

TEST(ErrorTest, SystemCodesBecomeOurs) {
  EXPECT_EQ(io_error(system_code(EADDRINUSE), "bind").code, Errc::port_in_use);
  EXPECT_EQ(io_error(system_code(ETIMEDOUT), "connect").code, Errc::timeout);
  EXPECT_EQ(io_error(system_code(ECONNREFUSED), "connect"),
            Error(Errc::network, "connect: Connection refused"));
  EXPECT_EQ(io_error(make_error_code(boost::asio::error::eof), "read").code, Errc::network);
}

TEST(ErrorTest, OurCodesStayThemselves) {
  EXPECT_EQ(io_error(Errc::going_away, "tunnel"),
            Error(Errc::going_away, "tunnel: the server ended the tunnel"));
}

TEST(ErrorTest, ResultHoldsAValueOrAnError) {
  Result<int> const good = 5;
  Result<int> const bad = Error(Errc::limit, "too many pods");
  EXPECT_EQ(good.value(), 5);
  EXPECT_TRUE(bad.has_error());
  EXPECT_EQ(bad.error().text, "too many pods");
  EXPECT_THROW(bad.value(), std::logic_error);
}

}  // namespace
}  // namespace kportal
