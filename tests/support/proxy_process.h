// SPDX-License-Identifier: MIT
// ProxyProcess: a real proxy as a child on a free port of 127.0.0.1: tinyproxy for HTTP CONNECT,
// microsocks for SOCKS5, with or without a login. Ended and reaped with the object.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <sys/types.h>

namespace kportal::test {

struct ProxyOptions {
  std::string user;  // empty = no login
  std::string password;
  std::uint16_t port = 0;          // 0 = any free one
  std::uint16_t allowed_port = 0;  // of servers, HTTP only; 0 = all
};

class ProxyProcess {
 public:
  // Listening already. Null, with a reason for GTEST_SKIP, where the program is not installed.
  static std::unique_ptr<ProxyProcess> http(ProxyOptions options, std::string& why_not);
  static std::unique_ptr<ProxyProcess> socks5(ProxyOptions options, std::string& why_not);
  ~ProxyProcess();
  ProxyProcess(ProxyProcess const&) = delete;
  ProxyProcess& operator=(ProxyProcess const&) = delete;

  std::uint16_t port() const { return port_; }
  // "SCHEME://[USER:PASSWORD@]127.0.0.1:PORT".
  std::string url() const;
  // Ends it, with all its connections.
  void stop();

 private:
  enum class Kind { http, socks5 };
  ProxyProcess(Kind kind, ProxyOptions options) : kind_(kind), options_(std::move(options)) {}
  static std::unique_ptr<ProxyProcess> start(Kind kind, ProxyOptions options, std::string& why_not);
  bool start_once();
  void write_configuration();
  bool listens() const;
  bool ended();

  Kind kind_;
  ProxyOptions options_;
  std::uint16_t port_ = 0;
  std::string configuration_;  // a file
  pid_t pid_ = -1;
};

}  // namespace kportal::test
