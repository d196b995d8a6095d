// SPDX-License-Identifier: MIT
// HttpServer: answers HTTP/1.1 requests on a loopback socket by a script, with TLS if asked; and
// RestFixture, a loop with such a server, a CurlMulti and a RestClient. For the tests of the REST
// side.
#pragma once

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <gtest/gtest.h>

#include "base/error.h"
#include "base/task_group.h"
#include "base/wakeup.h"
#include "k8s/curl_multi.h"
#include "k8s/rest_client.h"
#include "net/resolver.h"
#include "net/tls_context.h"
#include "net/transport.h"

namespace kportal::k8s {

struct ServedRequest {
  std::string method;
  std::string target;
  std::map<std::string, std::string> headers;  // names in lower case; repeated ones joined
  std::string body;
  int connection = 0;       // counted from 1
  std::string client_name;  // of a verified certificate

  ServedRequest() = default;
};

// What a test says bit by bit, each bit written for itself.
class Feed {
 public:
  explicit Feed(asio::any_io_executor executor) : wakeup_(std::move(executor)) {}
  // As one chunk of a chunked body.
  void event(std::string_view json);
  void bytes(std::string text);
  // The end of the chunked body; or, with cut(), of the connection.
  void finish() { bytes("0\r\n\r\n"), ended_ = true; }
  void cut();

 private:
  friend class HttpServer;
  std::deque<std::string> pieces_;
  bool ended_ = false;
  bool cut_ = false;
  Wakeup wakeup_;
};

struct Answer {
  std::vector<std::string> pieces;
  enum class Then { next_request, close, hang } then = Then::next_request;
  Feed* feed = nullptr;  // after the pieces

  Answer() = default;
};

// `extra`: whole header lines.
Answer reply(int status, std::string const& body, std::string const& extra = "");
// A chunked 200 whose chunks the feed brings.
Answer stream(Feed& feed);
Answer hang();
// The same answer, one byte a write.
Answer bytewise(Answer answer);

class HttpServer {
 public:
  using Script = std::function<Answer(ServedRequest const&)>;

  explicit HttpServer(asio::any_io_executor executor);

  void use_tls(net::TlsContext* tls) { tls_ = tls; }
  void script(Script script) { script_ = std::move(script); }
  void start() { tasks_.spawn(accept()); }
  void cancel() { tasks_.cancel(); }
  bool idle() const { return tasks_.empty(); }
  // Connections that have not ended.
  std::size_t connections() const { return tasks_.size() - 1; }

  std::uint16_t port() const { return acceptor_.local_endpoint().port(); }
  std::vector<ServedRequest> const& requests() const { return requests_; }

 private:
  awaitable<void> accept();
  awaitable<void> serve(asio::ip::tcp::socket socket, int number);
  awaitable<bool> read_request(net::Transport& transport, std::string& buffer, ServedRequest& into);
  awaitable<bool> answer(net::Transport& transport, Answer answer);
  awaitable<bool> follow(net::Transport& transport, Feed& feed);
  awaitable<bool> read_more(net::Transport& transport, std::string& buffer);

  asio::any_io_executor executor_;
  asio::ip::tcp::acceptor acceptor_;
  net::TlsContext* tls_ = nullptr;
  Script script_;
  std::vector<ServedRequest> requests_;
  int accepted_ = 0;
  TaskGroup tasks_;
};

class RestFixture : public testing::Test {
 protected:
  RestFixture();
  ~RestFixture() override;

  // Runs the loop until it is so, or fails the test after a long time.
  void run_until(std::function<bool()> const& done);

  template <class T>
  T run(awaitable<T> task) {
    std::optional<T> result;
    tasks_.spawn(store(std::move(task), result));
    run_until([&] { return result.has_value(); });
    if (!result) throw std::runtime_error("the task did not end");
    return std::move(*result);
  }
  template <class T>
  void start(awaitable<T> task, std::optional<T>& result) {
    tasks_.spawn(store(std::move(task), result));
  }
  // One handler, if one is due.
  void turn() {
    context_.restart();
    context_.poll_one();
  }
  // What was spawned by run() and start() ends.
  void cancel_tasks();

  // Lives as long as the fixture.
  Feed& make_feed() { return feeds_.emplace_back(context_.get_executor()); }

  static TimePoint soon() { return Clock::now() + std::chrono::seconds(20); }
  HttpRequest request(std::string target) const;
  RestConfig config() const;

  asio::io_context context_;
  std::deque<Feed> feeds_;
  TaskGroup tasks_{context_.get_executor()};
  HttpServer server_{context_.get_executor()};
  net::Resolver resolver_;
  std::unique_ptr<CurlMulti> curl_ = std::make_unique<CurlMulti>(context_.get_executor());

 private:
  template <class T>
  static awaitable<void> store(awaitable<T> task, std::optional<T>& result) {
    result = co_await std::move(task);
  }
};

}  // namespace kportal::k8s
