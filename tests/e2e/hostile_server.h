// SPDX-License-Identifier: MIT
// HostileServer: accepts connections on a port of 127.0.0.1, reads one HTTP request of each, and
// lets a function of the test answer it, well or badly; each connection in a thread of its own. No
// TLS: a kubeconfig may name an http server.
#pragma once

#include <functional>
#include <list>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>

#include "tests/e2e/client.h"

namespace kportal::test {

class HostileServer {
 public:
  // Gets the connection and the request's head. It must end when the connection does.
  using Answer = std::function<void(Client& client, std::string const& head)>;

  explicit HostileServer(Answer answer);
  ~HostileServer();
  HostileServer(HostileServer const&) = delete;
  HostileServer& operator=(HostileServer const&) = delete;

  std::string kubeconfig(std::string const& context) const;

 private:
  void accept_all();
  void serve(int descriptor);

  Answer answer_;
  int fd_ = -1;
  std::uint16_t port_ = 0;
  std::mutex mutex_;
  bool stopping_ = false;
  std::list<int> open_;
  std::list<std::thread> threads_;
  std::thread acceptor_;
};

bool is_upgrade(std::string const& head);
bool is_websocket(std::string const& head);
// An answer with a length, after which the connection ends.
void send_answer(Client& client, std::string_view status, std::string_view body);
// A refusal of rights: what a forward of one pod can do without.
void forbid(Client& client);
// The 101 of each kind of upgrade, as it should be.
void accept_websocket(Client& client, std::string const& head);
void accept_spdy(Client& client);

}  // namespace kportal::test
