// SPDX-License-Identifier: MIT
#include "tests/e2e/hostile_server.h"

#include <algorithm>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <gtest/gtest.h>

#include "net/websocket.h"

namespace kportal::test {
namespace {

// The value of a header, in the case it is sent in.
std::string header_of(std::string const& head, std::string const& name) {
  auto const same = [](char a, char b) { return std::tolower(a) == std::tolower(b); };
  std::string const mark = "\r\n" + name + ": ";
  auto const at = std::search(head.begin(), head.end(), mark.begin(), mark.end(), same);
  if (at == head.end()) return {};
  auto const begin = at + static_cast<std::ptrdiff_t>(mark.size());
  return {begin, std::find(begin, head.end(), '\r')};
}

}  // namespace

HostileServer::HostileServer(Answer answer)
    : answer_(std::move(answer)), fd_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  auto* const raw = reinterpret_cast<sockaddr*>(&address);
  EXPECT_EQ(::bind(fd_, raw, size), 0);
  EXPECT_EQ(::listen(fd_, 64), 0);
  EXPECT_EQ(::getsockname(fd_, raw, &size), 0);
  port_ = ntohs(address.sin_port);
  acceptor_ = std::thread([this] { accept_all(); });
}

HostileServer::~HostileServer() {
  {
    std::lock_guard const lock(mutex_);
    stopping_ = true;
    ::shutdown(fd_, SHUT_RDWR);
    for (int const fd : open_) ::shutdown(fd, SHUT_RDWR);
  }
  acceptor_.join();
  for (std::thread& thread : threads_) thread.join();
  ::close(fd_);
}

std::string HostileServer::kubeconfig(std::string const& context) const {
  return "apiVersion: v1\nkind: Config\ncurrent-context: " + context +
         "\nclusters:\n- name: c\n  cluster: {server: \"http://127.0.0.1:" + std::to_string(port_) +
         "\"}\nusers:\n- name: u\n  user: {}\ncontexts:\n- name: " + context +
         "\n  context: {cluster: c, user: u}\n";
}

void HostileServer::accept_all() {
  for (;;) {
    int const fd = ::accept4(fd_, nullptr, nullptr, SOCK_CLOEXEC);
    std::lock_guard const lock(mutex_);
    if (fd < 0 || stopping_) {
      if (fd >= 0) ::close(fd);
      return;
    }
    open_.push_back(fd);
    threads_.emplace_back([this, fd] { serve(fd); });
  }
}

void HostileServer::serve(int descriptor) {
  Client client = Client::adopt(descriptor);
  std::string head;
  while (!head.ends_with("\r\n\r\n") && head.size() < 64 * 1024) {
    std::string const byte = client.read(1);
    if (byte.empty()) break;
    head += byte;
  }
  if (head.ends_with("\r\n\r\n")) answer_(client, head);
  std::lock_guard const lock(mutex_);
  open_.remove(descriptor);
}

bool is_upgrade(std::string const& head) {
  return !header_of(head, "Upgrade").empty();
}

bool is_websocket(std::string const& head) {
  return !header_of(head, "Sec-WebSocket-Key").empty();
}

void send_answer(Client& client, std::string_view status, std::string_view body) {
  client.send("HTTP/1.1 " + std::string(status) +
              "\r\nContent-Type: application/json\r\nConnection: close\r\nContent-Length: " +
              std::to_string(body.size()) + "\r\n\r\n" + std::string(body));
}

void forbid(Client& client) {
  send_answer(client, "403 Forbidden",
              R"({"kind":"Status","apiVersion":"v1","status":"Failure","message":"no rights",)"
              R"("reason":"Forbidden","code":403})");
}

void accept_websocket(Client& client, std::string const& head) {
  client.send(
      "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
      "Sec-WebSocket-Accept: " +
      net::websocket_accept(header_of(head, "Sec-WebSocket-Key")) +
      "\r\nSec-WebSocket-Protocol: SPDY/3.1+portforward.k8s.io\r\n\r\n");
}

void accept_spdy(Client& client) {
  client.send(
      "HTTP/1.1 101 Switching Protocols\r\nUpgrade: SPDY/3.1\r\nConnection: Upgrade\r\n"
      "X-Stream-Protocol-Version: portforward.k8s.io\r\n\r\n");
}

}  // namespace kportal::test
