// SPDX-License-Identifier: MIT
#include "lab/pod_ports.h"

#include <algorithm>
#include <charconv>
#include <chrono>
#include <optional>
#include <vector>

#include <fmt/format.h>

#include "base/wakeup.h"

namespace kportal::lab {
namespace {

using namespace std::chrono_literals;

constexpr std::size_t kMaxHead = 64 * 1024;
constexpr std::size_t kReadSize = 32 * 1024;
constexpr auto kResetAfter = 200ms;
constexpr auto kLook = 10ms;

awaitable<void> run_echo(PodSocket& socket) {
  for (;;) {
    Chunk chunk(kReadSize);
    auto const [error, n] = co_await socket.read_some(chunk.room());
    if (error) break;
    chunk.commit(n);
    auto const failed = co_await socket.write(std::move(chunk));
    if (failed) co_return;
  }
  socket.shutdown_send();
}

awaitable<void> drop_all(PodSocket& socket) {
  Chunk chunk(kReadSize);
  for (;;) {
    auto const [error, n] = co_await socket.read_some(chunk.room());
    static_cast<void>(n);
    if (error) co_return;
  }
}

// The alphabet over and over.
std::vector<std::byte> letters(std::size_t size) {
  std::vector<std::byte> bytes(size);
  for (std::size_t i = 0; i < size; ++i) {
    bytes[i] = static_cast<std::byte>('a' + static_cast<int>(i % 26));
  }
  return bytes;
}

awaitable<void> run_source(PodSocket& socket) {
  static std::vector<std::byte> const block = letters(kReadSize);
  for (;;) {
    auto const failed = co_await socket.write(Chunk::copy_of(block));
    if (failed) co_return;
  }
}

// The real one would not even notice that its peer has gone; that would only leave garbage here.
awaitable<void> run_stuck(PodSocket& socket) {
  co_await socket.wait_closed();
}

awaitable<void> run_banner(PodSocket& socket, PodProgram const& program) {
  auto const text = fmt::format("READY {}\r\n", program.pod);
  auto chunk = Chunk::copy_of(as_bytes(text));
  auto const failed = co_await socket.write(std::move(chunk));
  if (!failed) co_await drop_all(socket);
}

awaitable<void> run_reset(PodSocket& socket) {
  co_await socket.wait_readable(Clock::now() + kResetAfter);
  socket.reset();
}

awaitable<void> run_bye(PodSocket& socket) {
  auto chunk = Chunk::copy_of(as_bytes("BYE\r\n"));
  auto const failed = co_await socket.write(std::move(chunk));
  static_cast<void>(failed);
}

struct HttpRequest {
  std::string method;
  std::string target;
  std::string path;
  std::string query;
  std::uint64_t content_length = 0;
  bool chunked = false;
  bool keep_alive = true;
  bool expects_continue = false;
};

struct HttpReply {
  int code = 200;
  std::string body;
  std::uint64_t filler = 0;  // bytes of 'x' instead of `body`
  Duration delay{};
  std::optional<int> exit;
};

std::string lower(std::string_view text) {
  std::string result(text);
  std::transform(result.begin(), result.end(), result.begin(), [](char c) {
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  });
  return result;
}

std::uint64_t number(std::string_view text) {
  std::uint64_t value = 0;
  std::from_chars(text.data(), text.data() + text.size(), value);
  return value;
}

// The decimal number after "name=" in a query.
std::uint64_t parameter(std::string_view query, std::string_view name) {
  while (!query.empty()) {
    auto const end = std::min(query.find('&'), query.size());
    auto const pair = query.substr(0, end);
    if (pair.starts_with(name) && pair.substr(name.size()).starts_with('=')) {
      return number(pair.substr(name.size() + 1));
    }
    query.remove_prefix(std::min(end + 1, query.size()));
  }
  return 0;
}

void parse_field(std::string_view line, HttpRequest& request) {
  auto const colon = line.find(':');
  if (colon == std::string_view::npos) return;
  auto const name = lower(line.substr(0, colon));
  auto value = lower(line.substr(colon + 1));
  value.erase(0, value.find_first_not_of(' '));
  if (name == "content-length") request.content_length = number(value);
  if (name == "transfer-encoding") request.chunked = value.find("chunked") != std::string::npos;
  if (name == "connection") request.keep_alive = value.find("close") == std::string::npos;
  if (name == "expect") request.expects_continue = value == "100-continue";
}

std::optional<HttpRequest> parse_head(std::string_view head) {
  HttpRequest request;
  auto const line = head.substr(0, head.find("\r\n"));
  auto const first = line.find(' ');
  auto const second = line.rfind(' ');
  if (first == std::string_view::npos || second <= first) return std::nullopt;
  request.method = line.substr(0, first);
  request.target = line.substr(first + 1, second - first - 1);
  request.keep_alive = line.substr(second + 1) == "HTTP/1.1";
  auto const question = std::min(request.target.find('?'), request.target.size());
  request.path = request.target.substr(0, question);
  if (question < request.target.size()) request.query = request.target.substr(question + 1);
  head.remove_prefix(std::min(line.size() + 2, head.size()));
  while (!head.empty()) {
    auto const end = std::min(head.find("\r\n"), head.size());
    parse_field(head.substr(0, end), request);
    head.remove_prefix(std::min(end + 2, head.size()));
  }
  return request;
}

// What podserver answers. `body_bytes` is the size of the request's body.
HttpReply http_reply(HttpRequest const& request, std::uint64_t body_bytes, PodProgram& program) {
  HttpReply reply;
  auto const& path = request.path;
  if (path == "/healthz") {
    reply.code = program.ready ? 200 : 503;
    reply.body = program.ready ? "ok\n" : "not ready\n";
  } else if (path == "/ready" || path == "/unready") {
    program.ready = path == "/ready";
    if (program.set_ready) program.set_ready(program.ready);
  } else if (path == "/open") {
    program.reads_late = true;
  } else if (path == "/exit") {
    reply.exit = static_cast<int>(parameter(request.query, "code"));
  } else if (path == "/sleep") {
    auto const ms = parameter(request.query, "ms");
    reply.delay = std::chrono::milliseconds(std::min<std::uint64_t>(ms, 3'600'000));
    reply.body = fmt::format("slept {}\n", ms);
  } else if (path == "/bytes") {
    reply.filler = parameter(request.query, "n");
  } else if (path == "/count" || path == "/late") {
    reply.body = fmt::format("{}\n", body_bytes);
  } else {
    reply.body = fmt::format("pod={} node={} method={} path={}\n", program.pod, program.node,
                             request.method, request.target);
  }
  return reply;
}

// One connection of the http port.
class HttpConversation {
 public:
  HttpConversation(PodSocket& socket, std::shared_ptr<PodProgram> program)
      : socket_(socket), program_(std::move(program)) {}

  awaitable<void> run() {
    for (bool more = true; more;) {
      more = co_await one_request();
    }
  }

 private:
  // Reads on; false at the end.
  awaitable<bool> fill() {
    Chunk chunk(kReadSize);
    auto const [error, n] = co_await socket_.read_some(chunk.room());
    chunk.commit(n);
    input_.append(as_text(chunk.data()));
    co_return !error;
  }

  // Reads up to and with `mark`; nullopt at the end or beyond the bound.
  awaitable<std::optional<std::string>> read_past(std::string mark) {
    for (;;) {
      auto const at = input_.find(mark);
      if (at != std::string::npos) {
        auto text = input_.substr(0, at);
        input_.erase(0, at + mark.size());
        co_return text;
      }
      if (input_.size() > kMaxHead) co_return std::nullopt;
      auto const more = co_await fill();
      if (!more) co_return std::nullopt;
    }
  }

  awaitable<bool> skip(std::uint64_t bytes) {
    while (bytes > 0) {
      if (input_.empty()) {
        auto const more = co_await fill();
        if (!more) co_return false;
      }
      auto const n = std::min<std::uint64_t>(bytes, input_.size());
      input_.erase(0, static_cast<std::size_t>(n));
      bytes -= n;
    }
    co_return true;
  }

  // The size of the body that it has read and dropped.
  awaitable<std::optional<std::uint64_t>> read_body(HttpRequest const& request) {
    if (!request.chunked) {
      auto const whole = co_await skip(request.content_length);
      if (!whole) co_return std::nullopt;
      co_return request.content_length;
    }
    std::uint64_t total = 0;
    for (;;) {
      auto const line = co_await read_past("\r\n");
      if (!line) co_return std::nullopt;
      std::uint64_t size = 0;
      std::from_chars(line->data(), line->data() + line->size(), size, 16);
      auto const whole = co_await skip(size + 2);
      if (!whole) co_return std::nullopt;
      if (size == 0) co_return total;
      total += size;
    }
  }

  awaitable<bool> send(std::string text) {
    auto chunk = Chunk::copy_of(as_bytes(text));
    auto const failed = co_await socket_.write(std::move(chunk));
    co_return !failed;
  }

  awaitable<bool> one_request() {
    auto const head = co_await read_past("\r\n\r\n");
    if (!head) co_return false;
    auto const request = parse_head(*head);
    if (!request) {
      co_await send("HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
      co_return false;
    }
    if (program_->saw) program_->saw(request->target);
    if (request->expects_continue) {
      auto const sent = co_await send("HTTP/1.1 100 Continue\r\n\r\n");
      if (!sent) co_return false;
    }
    while (request->path == "/late" && !program_->reads_late) {
      co_await sleep_until(Clock::now() + kLook);
    }
    auto const body = co_await read_body(*request);
    if (!body) co_return false;
    auto const reply = http_reply(*request, *body, *program_);
    if (reply.exit) {
      if (program_->exit) program_->exit(*reply.exit);
      co_return false;
    }
    if (reply.delay > Duration::zero()) co_await sleep_until(Clock::now() + reply.delay);
    auto const sent = co_await send_reply(*request, reply);
    co_return sent && request->keep_alive;
  }

  awaitable<bool> send_reply(HttpRequest const& request, HttpReply const& reply) {
    auto const length = reply.filler > 0 ? reply.filler : reply.body.size();
    auto text =
        fmt::format("HTTP/1.1 {}\r\nContent-Type: text/plain\r\nContent-Length: {}\r\n{}\r\n",
                    reply.code == 200 ? "200 OK" : "503 Service Unavailable", length,
                    request.keep_alive ? "" : "Connection: close\r\n");
    auto const head_only = request.method == "HEAD";
    if (!head_only) text += reply.body;
    bool sent = co_await send(std::move(text));
    for (auto left = head_only ? 0 : reply.filler; sent && left > 0;) {
      auto const n = std::min<std::uint64_t>(left, kReadSize);
      sent = co_await send(std::string(static_cast<std::size_t>(n), 'x'));
      left -= n;
    }
    co_return sent;
  }

  PodSocket& socket_;
  std::shared_ptr<PodProgram> program_;
  std::string input_;
};

awaitable<void> run_http(PodSocket& socket, std::shared_ptr<PodProgram> program) {
  HttpConversation conversation(socket, std::move(program));
  co_await conversation.run();
}

}  // namespace

PodPorts standard_ports() {
  return {
      {7000, PortBehaviour::echo},   {8080, PortBehaviour::http},  {9000, PortBehaviour::discard},
      {9001, PortBehaviour::source}, {9002, PortBehaviour::stuck}, {9003, PortBehaviour::banner},
      {9004, PortBehaviour::silent}, {9005, PortBehaviour::reset}, {9006, PortBehaviour::bye}};
}

std::vector<ContainerPort> standard_container_ports() {
  return {{"echo", 7000},  {"http", 8080},   {"discard", 9000}, {"source", 9001},
          {"stuck", 9002}, {"banner", 9003}, {"silent", 9004}};
}

awaitable<void> run_pod_port(PortBehaviour behaviour, std::shared_ptr<PodProgram> program,
                             PodSocket& socket) {
  switch (behaviour) {
    case PortBehaviour::echo:
      co_await run_echo(socket);
      break;
    case PortBehaviour::http:
      co_await run_http(socket, std::move(program));
      break;
    case PortBehaviour::discard:
    case PortBehaviour::silent:
      co_await drop_all(socket);
      break;
    case PortBehaviour::source:
      co_await run_source(socket);
      break;
    case PortBehaviour::stuck:
      co_await run_stuck(socket);
      break;
    case PortBehaviour::banner:
      co_await run_banner(socket, *program);
      break;
    case PortBehaviour::reset:
      co_await run_reset(socket);
      break;
    case PortBehaviour::bye:
      co_await run_bye(socket);
      break;
  }
}

}  // namespace kportal::lab
