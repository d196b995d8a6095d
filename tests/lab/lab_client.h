// SPDX-License-Identifier: MIT
// LabClient: one TLS connection to an ApiServer, for tests that look at HTTP as it is on the wire:
// requests, watches line by line, and upgrades.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "lab/api_server.h"
#include "net/http_upgrade.h"
#include "net/transport.h"

namespace kportal::lab {

struct LabAnswer {
  int code = 0;  // 0: the connection ended instead
  net::HttpHeaders headers;
  std::string body;
  LabAnswer() = default;
};

class LabClient {
 public:
  // Connects as the admin (by certificate), or as the owner of `token`, or with a certificate.
  static awaitable<std::unique_ptr<LabClient>> connect(asio::any_io_executor executor,
                                                       ApiServer const& server,
                                                       std::string token = std::string());
  static awaitable<std::unique_ptr<LabClient>> connect_with(asio::any_io_executor executor,
                                                            ApiServer const& server,
                                                            CertificateAndKey certificate);
  // Null when the TLS handshake failed.
  explicit LabClient(std::unique_ptr<net::Transport> transport, std::string token)
      : transport_(std::move(transport)), token_(std::move(token)) {}

  // `extra`: further header lines, each with its CRLF. The body is read, unless the answer is a
  // watch or an upgrade.
  awaitable<LabAnswer> request(std::string method, std::string target,
                               std::string extra = std::string(), std::string body = std::string());
  awaitable<LabAnswer> get(std::string target);
  // The next line of a watch; "END" at its orderly end, "CUT" when the connection ended.
  awaitable<std::string> next_event();
  // An upgrade; the transport can be taken after a 101.
  awaitable<LabAnswer> upgrade_spdy(std::string pod, std::string more = std::string());
  awaitable<LabAnswer> upgrade_websocket(std::string pod, std::string protocol);
  // What a 101 leaves; for a WebSocket the tunnel's byte stream.
  std::unique_ptr<net::Transport> take_spdy() { return std::move(transport_); }
  std::unique_ptr<net::Transport> take_websocket();

  awaitable<bool> send(std::string text);
  // True when the server ends the connection without another byte.
  awaitable<bool> ended();
  net::Transport& transport() { return *transport_; }

 private:
  awaitable<bool> fill();
  awaitable<LabAnswer> read_answer(bool head_only);

  std::unique_ptr<net::Transport> transport_;
  std::string token_;
  std::string input_;
};

}  // namespace kportal::lab
