// SPDX-License-Identifier: MIT
#include "tests/k8s/http_server.h"

#include <algorithm>
#include <cstdlib>
#include <utility>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <fmt/format.h>

#include "net/tcp.h"
#include "net/tls.h"

namespace kportal::k8s {

using namespace std::chrono_literals;
using asio::ip::tcp;

void Feed::event(std::string_view json) {
  bytes(fmt::format("{:x}\r\n{}\r\n", json.size(), json));
}

void Feed::bytes(std::string text) {
  pieces_.push_back(std::move(text));
  wakeup_.set();
}

void Feed::cut() {
  cut_ = true;
  wakeup_.set();
}

Answer reply(int status, std::string const& body, std::string const& extra) {
  Answer answer;
  answer.pieces.push_back(fmt::format("HTTP/1.1 {} Some Words\r\nContent-Length: {}\r\n{}\r\n",
                                      status, body.size(), extra));
  answer.pieces.push_back(body);
  return answer;
}

Answer stream(Feed& feed) {
  Answer answer;
  answer.pieces.push_back("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
  answer.feed = &feed;
  return answer;
}

Answer hang() {
  Answer answer;
  answer.then = Answer::Then::hang;
  return answer;
}

Answer bytewise(Answer answer) {
  std::string all;
  for (auto const& piece : answer.pieces) all += piece;
  answer.pieces.clear();
  for (char const c : all) answer.pieces.emplace_back(1, c);
  return answer;
}

HttpServer::HttpServer(asio::any_io_executor executor)
    : executor_(executor),
      acceptor_(executor, tcp::endpoint(asio::ip::address_v4::loopback(), 0)),
      tasks_(executor) {}

awaitable<void> HttpServer::accept() {
  for (;;) {
    auto [error, socket] = co_await acceptor_.async_accept(asio::as_tuple(asio::use_awaitable));
    if (error) continue;
    error_code ignored;
    socket.set_option(tcp::no_delay(true), ignored);
    tasks_.spawn(serve(std::move(socket), ++accepted_));
  }
}

awaitable<void> HttpServer::serve(tcp::socket socket, int number) {
  std::string client_name;
  std::unique_ptr<net::Transport> transport =
      std::make_unique<net::TcpTransport>(std::move(socket));
  if (tls_ != nullptr) {
    auto secured = co_await net::tls_accept(std::move(transport), *tls_, Clock::now() + 10s);
    if (!secured) co_return;
    auto const peer = (*secured)->peer();
    if (peer && peer->verified) client_name = peer->common_name;
    transport = std::move(*secured);
  }
  std::string buffer;
  for (;;) {
    ServedRequest request;
    request.connection = number;
    request.client_name = client_name;
    bool const complete = co_await read_request(*transport, buffer, request);
    if (!complete) co_return;
    requests_.push_back(request);
    bool const go_on = co_await answer(*transport, script_(request));
    if (!go_on) co_return;
  }
}

awaitable<bool> HttpServer::read_more(net::Transport& transport, std::string& buffer) {
  std::byte bytes[4096];
  auto const result = co_await transport.read_some(bytes);
  buffer.append(as_text(Bytes(bytes, result.size)));
  co_return !result.error;
}

awaitable<bool> HttpServer::read_request(net::Transport& transport, std::string& buffer,
                                         ServedRequest& into) {
  while (buffer.find("\r\n\r\n") == buffer.npos) {
    bool const more = co_await read_more(transport, buffer);
    if (!more) co_return false;
  }
  std::size_t at = buffer.find("\r\n");
  auto const space = buffer.find(' ');
  into.method = buffer.substr(0, space);
  into.target = buffer.substr(space + 1, buffer.find(' ', space + 1) - space - 1);
  for (;;) {
    at += 2;
    auto const end = buffer.find("\r\n", at);
    if (end == at) break;
    auto const colon = buffer.find(':', at);
    std::string name = buffer.substr(at, colon - at);
    std::transform(name.begin(), name.end(), name.begin(),
                   [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
    std::string& value = into.headers[name];
    if (!value.empty()) value += ", ";
    value += buffer.substr(colon + 2, end - colon - 2);
    at = end;
  }
  buffer.erase(0, at + 2);
  std::size_t const length = std::strtoul(into.headers["content-length"].c_str(), nullptr, 10);
  while (buffer.size() < length) {
    bool const more = co_await read_more(transport, buffer);
    if (!more) co_return false;
  }
  into.body = buffer.substr(0, length);
  buffer.erase(0, length);
  co_return true;
}

awaitable<bool> HttpServer::answer(net::Transport& transport, Answer answer) {
  for (auto const& piece : answer.pieces) {
    if (piece.empty()) continue;
    error_code const error = co_await transport.write(Chunk::copy_of(as_bytes(piece)));
    if (error) co_return false;
  }
  if (answer.feed != nullptr) co_return co_await follow(transport, *answer.feed);
  if (answer.then == Answer::Then::hang) {
    // Until the client goes.
    std::string ignored;
    co_await read_more(transport, ignored);
    co_return false;
  }
  co_return answer.then == Answer::Then::next_request;
}

awaitable<bool> HttpServer::follow(net::Transport& transport, Feed& feed) {
  for (;;) {
    while (!feed.pieces_.empty()) {
      std::string const piece = std::move(feed.pieces_.front());
      feed.pieces_.pop_front();
      error_code const error = co_await transport.write(Chunk::copy_of(as_bytes(piece)));
      if (error) co_return false;
    }
    if (feed.cut_) co_return false;
    if (feed.ended_) co_return true;
    co_await feed.wakeup_.wait();
  }
}

namespace {

Result<net::Addresses> look_up(std::string const& host) {
  if (host == "nowhere.test") return Error(Errc::network, "nowhere.test: unknown");
  return net::Addresses{asio::ip::address_v4::loopback()};
}

}  // namespace

RestFixture::RestFixture() : resolver_(context_.get_executor(), look_up) {
  server_.start();
}

RestFixture::~RestFixture() {
  cancel_tasks();
  curl_.reset();
  asio::post(context_, [this] { server_.cancel(); });
  run_until([this] { return server_.idle(); });
}

void RestFixture::run_until(std::function<bool()> const& done) {
  auto const limit = Clock::now() + 30s;
  while (!done()) {
    context_.restart();
    context_.run_one_until(limit);
    if (Clock::now() >= limit) {
      ADD_FAILURE() << "it did not happen";
      return;
    }
  }
}

void RestFixture::cancel_tasks() {
  // From within the loop, as the product does it.
  bool asked = false;
  asio::post(context_, [&] {
    tasks_.cancel();
    asked = true;
  });
  run_until([&] { return asked && tasks_.empty(); });
}

HttpRequest RestFixture::request(std::string target) const {
  HttpRequest request;
  request.scheme = "http";
  request.host = "127.0.0.1";
  request.port = server_.port();
  request.target = std::move(target);
  return request;
}

RestConfig RestFixture::config() const {
  RestConfig config;
  config.scheme = "http";
  config.host = "127.0.0.1";
  config.port = server_.port();
  return config;
}

}  // namespace kportal::k8s
