// SPDX-License-Identifier: MIT
#include "net/tcp_state.h"

#include <cerrno>
#include <list>
#include <string>
#include <sys/socket.h>
#include <thread>

#include <boost/asio/io_context.hpp>
#include <gtest/gtest.h>

namespace kportal::net {
namespace {

using namespace std::chrono_literals;
using boost::asio::ip::tcp;

class TcpStateTest : public testing::Test {
 protected:
  tcp::endpoint endpoint() { return acceptor_.local_endpoint(); }

  boost::asio::io_context loop_;
  tcp::acceptor acceptor_{loop_, tcp::endpoint(boost::asio::ip::address_v4::loopback(), 0)};
};

TEST_F(TcpStateTest, AnIdleConnectionIsAcknowledged) {
  tcp::socket socket(loop_);
  socket.connect(endpoint());
  EXPECT_TRUE(acknowledged_within(socket, 0ms));
}

TEST_F(TcpStateTest, APeerThatDoesNotReadStillAcknowledges) {
  tcp::socket socket(loop_);
  socket.connect(endpoint());
  tcp::socket const peer = acceptor_.accept();
  socket.non_blocking(true);
  std::string const bytes(64 * 1024, 'x');
  boost::system::error_code full;
  while (!full) socket.write_some(boost::asio::buffer(bytes), full);
  EXPECT_EQ(full, boost::asio::error::would_block);
  EXPECT_TRUE(acknowledged_within(socket, 1s));
}

TEST_F(TcpStateTest, AClosedSocketTellsNothing) {
  tcp::socket socket(loop_);
  EXPECT_TRUE(acknowledged_within(socket, 0ms));
}

#ifdef __linux__
// Linux drops what asks for a connection while the queue of the listener is full, so that it is
// sent again and again, the first time after a second.
TEST_F(TcpStateTest, WhatIsSentAgainIsNotAcknowledged) {
  ASSERT_EQ(::listen(acceptor_.native_handle(), 0), 0);
  std::list<tcp::socket> sockets;  // more than the queue takes
  for (int i = 0; i < 4; ++i) {
    tcp::socket& socket = sockets.emplace_back(loop_, tcp::v4());
    socket.non_blocking(true);
    auto const to = endpoint();
    ASSERT_NE(::connect(socket.native_handle(), to.data(), socklen_t(to.size())), 0);
    ASSERT_EQ(errno, EINPROGRESS);
  }
  tcp::socket& unheard = sockets.back();
  EXPECT_TRUE(acknowledged_within(unheard, 1ms));
  auto const limit = Clock::now() + 20s;
  while (acknowledged_within(unheard, 1ms) && Clock::now() < limit) std::this_thread::yield();
  EXPECT_FALSE(acknowledged_within(unheard, 1ms));
}
#endif

}  // namespace
}  // namespace kportal::net
