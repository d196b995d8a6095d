// SPDX-License-Identifier: MIT
#include <array>
#include <cerrno>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>
#include <unistd.h>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/use_awaitable.hpp>

#include "base/wakeup.h"
#include "net/route_watch.h"

namespace kportal::net {
namespace {

constexpr unsigned kGroups =
    RTMGRP_LINK | RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR | RTMGRP_IPV4_ROUTE | RTMGRP_IPV6_ROUTE;

error_code last_error() {
  return {errno, boost::system::system_category()};
}

class NetlinkWatch final : public RouteWatch {
 public:
  NetlinkWatch(asio::any_io_executor const& executor, int descriptor)
      : descriptor_(executor, descriptor) {}

  awaitable<error_code> changed() override {
    auto const [waited] = co_await descriptor_.async_wait(asio::posix::stream_descriptor::wait_read,
                                                          asio::as_tuple(asio::use_awaitable));
    co_await sleep_until(Clock::now() + kSettle);
    if (waited) co_return waited;
    co_return drain();
  }

 private:
  // What a notice says is not read: its coming is the news. ENOBUFS: some were lost.
  error_code drain() {
    std::array<char, 64> unread{};
    for (int i = 0; i < kMaxNotices; ++i) {
      ssize_t const got = ::recv(descriptor_.native_handle(), unread.data(), unread.size(),
                                 MSG_DONTWAIT | MSG_TRUNC);
      if (got > 0 || errno == EINTR || errno == ENOBUFS) continue;
      if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) return {};
      return got == 0 ? make_error_code(Errc::closed) : last_error();
    }
    return {};
  }

  asio::posix::stream_descriptor descriptor_;
};

}  // namespace

Result<std::unique_ptr<RouteWatch>> RouteWatch::open(asio::any_io_executor executor) {
  int const descriptor =
      ::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_ROUTE);
  if (descriptor < 0) return Error(Errc::local, "a netlink socket: " + last_error().message());
  auto watch = std::make_unique<NetlinkWatch>(executor, descriptor);
  sockaddr_nl address{};
  address.nl_family = AF_NETLINK;
  address.nl_groups = kGroups;
  if (::bind(descriptor, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) {
    return Error(Errc::local, "listening to netlink: " + last_error().message());
  }
  return std::unique_ptr<RouteWatch>(std::move(watch));
}

}  // namespace kportal::net
