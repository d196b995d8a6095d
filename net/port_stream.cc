// SPDX-License-Identifier: MIT
#include "net/port_stream.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <exception>
#include <initializer_list>
#include <utility>

#include <boost/asio/error.hpp>
#include <boost/asio/experimental/awaitable_operators.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/system/system_error.hpp>
#include <fmt/format.h>

#include "net/spdy_connection.h"

namespace kportal::net {
namespace {

// Of the runtime's words in a message of ours.
constexpr std::size_t kMaxShown = 200;

Headers port_headers(char const* type, std::uint16_t port, std::uint32_t request_id) {
  return {{"streamtype", type},
          {"port", std::to_string(port)},
          {"requestid", std::to_string(request_id)}};
}

awaitable<void> read_into(Stream& stream, MutableBytes into, IoResult& result) {
  result = co_await stream.read_some(into);
}

// True if the words stand in the text in this order.
bool says(std::string_view text, std::initializer_list<std::string_view> words) {
  std::size_t at = 0;
  for (std::string_view const word : words) {
    at = text.find(word, at);
    if (at == std::string_view::npos) return false;
    at += word.size();
  }
  return true;
}

bool says_gone(std::string_view text) {
  return says(text, {"sandbox", "is closed"}) || says(text, {"sandbox", "not running"}) ||
         says(text, {"sandbox", "not found"}) || says(text, {"failed to find sandbox"}) ||
         says(text, {"no such container"});
}

// Without the runtime's preamble, cut, and of printable characters only.
std::string shown(std::string_view text) {
  constexpr std::string_view kPreambleEnd = ", uid : ";
  if (auto const at = text.find(kPreambleEnd); at != std::string_view::npos) {
    text.remove_prefix(at + kPreambleEnd.size());
  }
  bool const cut = text.size() > kMaxShown;
  std::string out(text.substr(0, kMaxShown));
  std::replace_if(
      out.begin(), out.end(), [](char c) { return c < ' ' || c > '~'; }, ' ');
  while (!out.empty() && out.back() == ' ') out.pop_back();
  if (cut) out += "...";
  return out;
}

}  // namespace

// Takes all, so that an error stream never stops the reading of its tunnel.
class PortStream::ErrorSink final : public DataSink {
 public:
  std::size_t take(Bytes bytes) noexcept override {
    text_.append(as_text(bytes.first(std::min(bytes.size(), kMaxErrorText - text_.size()))));
    return bytes.size();
  }
  std::string const& text() const { return text_; }

 private:
  std::string text_;
};

Result<std::unique_ptr<PortStream>> PortStream::open(SpdyConnection& connection, std::uint16_t port,
                                                     std::uint32_t request_id) {
  auto error = connection.open_stream(port_headers("error", port, request_id), Fin::yes);
  if (!error) return error.error();
  auto data = connection.open_stream(port_headers("data", port, request_id), Fin::no);
  if (!data) return data.error();
  return std::unique_ptr<PortStream>(
      new PortStream(std::move(error).value(), std::move(data).value()));
}

PortStream::PortStream(std::unique_ptr<Stream> error, std::unique_ptr<Stream> data)
    : sink_(std::make_unique<ErrorSink>()), error_(std::move(error)), data_(std::move(data)) {
  error_->set_sink(sink_.get());
}

PortStream::~PortStream() = default;

Stream& PortStream::data() {
  return *data_;
}

bool PortStream::has_error_text() const {
  return !sink_->text().empty();
}

awaitable<std::string> PortStream::error_text(TimePoint deadline) {
  std::array<std::byte, 256> untaken;
  for (;;) {
    IoResult const read = co_await read_until(*error_, untaken, deadline);
    ended_by_fin_ = read.error == asio::error::eof;
    if (read.error) break;
    sink_->take(Bytes(untaken).first(read.size));
  }
  co_return sink_->text();
}

void PortStream::reset() {
  data_->reset();
  error_->reset();
}

awaitable<IoResult> read_until(Stream& stream, MutableBytes into, TimePoint deadline) {
  using asio::experimental::awaitable_operators::operator||;
  IoResult result(make_error_code(Errc::timeout), 0);
  try {
    auto const first = co_await (read_into(stream, into, result) || sleep_until(deadline));
    static_cast<void>(first);
  } catch (asio::multiple_exceptions const& both) {
    std::rethrow_exception(both.first_exception());
  }
  auto const state = co_await asio::this_coro::cancellation_state;
  if (state.cancelled() != asio::cancellation_type::none) {
    throw boost::system::system_error(asio::error::operation_aborted);
  }
  co_return result;
}

Error classify_error_text(std::string_view text, std::uint16_t port) {
  std::string lower(text.substr(0, PortStream::kMaxErrorText));
  std::transform(lower.begin(), lower.end(), lower.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  if (says_gone(lower)) {
    return {Errc::pod_gone, fmt::format("the pod is gone: {}", shown(text))};
  }
  if (says(lower, {"connection refused"})) {
    return {Errc::pod_refused,
            fmt::format("port {}: connection refused, nothing listens there in the pod", port)};
  }
  if (says(lower, {"reset by peer"}) || says(lower, {"broken pipe"})) {
    return {Errc::pod_reset,
            fmt::format("port {}: the application in the pod reset the connection", port)};
  }
  return {Errc::stream_failed, fmt::format("port {}: {}", port, shown(text))};
}

}  // namespace kportal::net
