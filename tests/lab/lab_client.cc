// SPDX-License-Identifier: MIT
#include "tests/lab/lab_client.h"

#include <charconv>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <fmt/format.h>
#include <gtest/gtest.h>

#include "net/tcp.h"
#include "net/tls.h"
#include "net/websocket_transport.h"

namespace kportal::lab {
namespace {

constexpr std::size_t kMaxBody = 16 * 1024 * 1024;

awaitable<std::unique_ptr<net::Transport>> dial(asio::any_io_executor executor,
                                                ApiServer const& server, net::TlsConfig config) {
  asio::ip::tcp::socket socket(executor);
  asio::ip::tcp::endpoint const to(asio::ip::address_v4::loopback(), server.port());
  auto const [error] = co_await socket.async_connect(to, asio::as_tuple(asio::use_awaitable));
  EXPECT_FALSE(error) << error.message();
  auto context = net::TlsContext::for_client(config);
  EXPECT_TRUE(context);
  auto tcp = std::make_unique<net::TcpTransport>(std::move(socket));
  auto const deadline = Clock::now() + std::chrono::seconds(15);
  auto tls = co_await net::tls_connect(std::move(tcp), *context, "127.0.0.1", deadline);
  if (!tls) co_return nullptr;
  co_return std::move(*tls);
}

}  // namespace

awaitable<std::unique_ptr<LabClient>> LabClient::connect(asio::any_io_executor executor,
                                                         ApiServer const& server,
                                                         std::string token) {
  net::TlsConfig config;
  config.ca_pem = server.ca_pem();
  if (token.empty()) {
    config.cert_pem = server.admin_certificate_pem();
    config.key_pem = server.admin_key_pem();
  }
  auto transport = co_await dial(executor, server, std::move(config));
  if (!transport) co_return nullptr;
  co_return std::make_unique<LabClient>(std::move(transport), std::move(token));
}

awaitable<std::unique_ptr<LabClient>> LabClient::connect_with(asio::any_io_executor executor,
                                                              ApiServer const& server,
                                                              CertificateAndKey certificate) {
  net::TlsConfig config;
  config.ca_pem = server.ca_pem();
  config.cert_pem = certificate.certificate_pem;
  config.key_pem = certificate.key_pem;
  auto transport = co_await dial(executor, server, std::move(config));
  if (!transport) co_return nullptr;
  co_return std::make_unique<LabClient>(std::move(transport), std::string());
}

awaitable<bool> LabClient::fill() {
  std::vector<std::byte> buffer(16 * 1024);
  auto const [error, n] = co_await transport_->read_some(buffer);
  input_ += as_text(Bytes(buffer).first(n));
  co_return !error;
}

awaitable<bool> LabClient::send(std::string text) {
  auto chunk = Chunk::copy_of(as_bytes(text));
  auto const failed = co_await transport_->write(std::move(chunk));
  co_return !failed;
}

awaitable<bool> LabClient::ended() {
  if (!input_.empty()) co_return false;
  auto const more = co_await fill();
  co_return !more && input_.empty();
}

awaitable<LabAnswer> LabClient::read_answer(bool head_only) {
  LabAnswer answer;
  net::ResponseParser parser;
  for (;;) {
    auto const used = parser.feed(as_bytes(input_));
    EXPECT_TRUE(used);
    if (!used) co_return answer;
    input_.erase(0, *used);
    if (parser.complete()) break;
    auto const more = co_await fill();
    if (!more) co_return answer;
  }
  answer.code = parser.head().status;
  answer.headers = parser.head().headers;
  if (head_only || answer.code == 101) co_return answer;
  auto body = net::BodyReader::of(parser.head(), kMaxBody);
  EXPECT_TRUE(body);
  while (body && !body->complete()) {
    auto const used = body->feed(as_bytes(input_));
    EXPECT_TRUE(used);
    if (!used) break;
    input_.erase(0, *used);
    if (body->complete()) break;
    auto const more = co_await fill();
    if (more) continue;
    EXPECT_TRUE(body->end_of_stream());
    break;
  }
  if (body) answer.body = body->take_body();
  co_return answer;
}

awaitable<LabAnswer> LabClient::request(std::string method, std::string target, std::string extra,
                                        std::string body) {
  auto text =
      fmt::format("{} {} HTTP/1.1\r\nHost: lab\r\nUser-Agent: lab-test\r\n{}{}", method, target,
                  extra, token_.empty() ? "" : fmt::format("Authorization: Bearer {}\r\n", token_));
  if (!body.empty()) text += fmt::format("Content-Length: {}\r\n", body.size());
  co_await send(text + "\r\n" + body);
  auto const open = target.find("watch=") != std::string::npos;
  co_return co_await read_answer(open || method == "HEAD");
}

awaitable<LabAnswer> LabClient::get(std::string target) {
  co_return co_await request("GET", std::move(target));
}

// Each event is one chunk.
awaitable<std::string> LabClient::next_event() {
  for (;;) {
    auto const line = input_.find("\r\n");
    if (line != std::string::npos) {
      std::size_t size = 0;
      std::from_chars(input_.data(), input_.data() + line, size, 16);
      if (input_.size() >= line + 2 + size + 2) {
        auto event = input_.substr(line + 2, size);
        input_.erase(0, line + 2 + size + 2);
        co_return size == 0 ? std::string("END") : event;
      }
    }
    auto const more = co_await fill();
    if (!more) co_return "CUT";
  }
}

awaitable<LabAnswer> LabClient::upgrade_spdy(std::string pod, std::string more) {
  auto const auth =
      token_.empty() ? std::string() : fmt::format("Authorization: Bearer {}\r\n", token_);
  co_await send(
      fmt::format("POST /api/v1/namespaces/default/pods/{}/portforward HTTP/1.1\r\nHost: lab\r\n"
                  "Connection: Upgrade\r\nUpgrade: SPDY/3.1\r\nContent-Length: 0\r\n{}"
                  "X-Stream-Protocol-Version: portforward.k8s.io\r\n\r\n{}",
                  pod, auth, more));
  co_return co_await read_answer(false);
}

awaitable<LabAnswer> LabClient::upgrade_websocket(std::string pod, std::string protocol) {
  auto const auth =
      token_.empty() ? std::string() : fmt::format("Authorization: Bearer {}\r\n", token_);
  co_await send(fmt::format(
      "GET /api/v1/namespaces/default/pods/{}/portforward HTTP/1.1\r\nHost: lab\r\n"
      "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n{}"
      "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: {}\r\n\r\n",
      pod, auth, protocol));
  co_return co_await read_answer(false);
}

std::unique_ptr<net::Transport> LabClient::take_websocket() {
  return std::make_unique<net::WebSocketTransport>(std::move(transport_),
                                                   net::WebSocketRole::client, as_bytes(input_));
}

}  // namespace kportal::lab
