// SPDX-License-Identifier: MIT
#include "tests/lab/raw_spdy.h"

#include <algorithm>

#include <fmt/format.h>
#include <gtest/gtest.h>

namespace kportal::test {

using net::Fin;
using net::FrameType;
using net::StreamId;

std::string to_string(RawFrame const& frame) {
  switch (frame.type) {
    case FrameType::data:
      return fmt::format("DATA {}{}{}{}", frame.stream, frame.payload.empty() ? "" : " ",
                         frame.payload, frame.fin ? " FIN" : "");
    case FrameType::syn_reply:
      return fmt::format("REPLY {}", frame.stream);
    case FrameType::rst_stream:
      return fmt::format("RST {} {}", frame.stream, frame.value);
    case FrameType::ping:
      return fmt::format("PING {}", frame.value);
    case FrameType::goaway:
      return fmt::format("GOAWAY {} {}", frame.stream, frame.value);
    default:
      return fmt::format("TYPE {}", static_cast<int>(frame.type));
  }
}

RawSpdy& RawSpdy::bytes(Bytes raw) {
  out_.insert(out_.end(), raw.begin(), raw.end());
  return *this;
}

RawSpdy& RawSpdy::syn(StreamId id, net::Headers const& headers, Fin fin) {
  std::vector<std::byte> block;
  encoder_.encode(headers, block);
  return bytes(net::syn_stream_head(id, fin, block.size())).bytes(block);
}

RawSpdy& RawSpdy::syn(StreamId id, std::string type, std::string port, std::string request,
                      Fin fin) {
  net::Headers const headers{{"streamtype", type}, {"port", port}, {"requestid", request}};
  return syn(id, headers, fin);
}

RawSpdy& RawSpdy::data(StreamId id, std::string_view text, Fin fin) {
  std::array<std::byte, net::kFrameHeaderSize> head{};
  net::write_data_header(head, id, fin, text.size());
  return bytes(head).bytes(as_bytes(text));
}

RawSpdy& RawSpdy::rst(StreamId id) {
  return bytes(net::rst_stream_frame(id, net::RstStatus::cancel));
}

RawSpdy& RawSpdy::ping(std::uint32_t id) {
  return bytes(net::ping_frame(id));
}

RawSpdy& RawSpdy::goaway() {
  return bytes(net::goaway_frame(0, net::GoawayStatus::ok));
}

RawSpdy& RawSpdy::pair(StreamId id, std::string port) {
  auto const request = std::to_string(id);
  syn(id, "error", port, request);
  data(id, "", Fin::yes);
  return syn(id + 2, "data", port, request);
}

std::string RawSpdy::take_text() {
  auto const now = std::exchange(out_, {});
  return std::string(as_text(now));
}

awaitable<bool> RawSpdy::send() {
  auto const now = std::exchange(out_, {});
  auto chunk = Chunk::copy_of(now);
  auto const failed = co_await transport_->write(std::move(chunk));
  co_return !failed;
}

awaitable<std::optional<RawFrame>> RawSpdy::read() {
  std::vector<std::byte> buffer(16 * 1024);
  while (frames_.empty()) {
    auto const [error, n] = co_await transport_->read_some(buffer);
    if (error) co_return std::nullopt;
    Bytes input = Bytes(buffer).first(n);
    while (!input.empty()) {
      std::optional<net::Frame> frame;
      auto const failed = parser_.next(input, frame);
      EXPECT_FALSE(failed) << failed.message();
      if (failed) co_return std::nullopt;
      if (!frame) break;
      partial_.type = frame->type;
      partial_.stream = frame->stream;
      partial_.value = frame->value;
      partial_.fin = frame->fin();
      if (frame->type == FrameType::data) {
        partial_.payload += as_text(frame->bytes);
      } else if (frame->type == FrameType::syn_reply) {
        net::Headers headers;
        auto const bad = decoder_.decode(frame->bytes, net::HeaderKind::reply, headers);
        EXPECT_FALSE(bad) << bad.message();
      }
      if (frame->last) frames_.push_back(std::exchange(partial_, RawFrame()));
    }
  }
  auto first = std::move(frames_.front());
  frames_.pop_front();
  co_return first;
}

awaitable<std::string> RawSpdy::read_text(int count) {
  std::string text;
  for (int i = 0; i < count; ++i) {
    if (i > 0) text += ", ";
    auto const frame = co_await read();
    if (!frame) {
      text += "END";
      break;
    }
    text += to_string(*frame);
  }
  co_return text;
}

awaitable<bool> RawSpdy::read_until(std::string text) {
  for (;;) {
    auto const frame = co_await read();
    if (!frame) co_return false;
    if (to_string(*frame) == text) co_return true;
  }
}

awaitable<std::string> RawSpdy::read_data(StreamId id, std::size_t size) {
  std::string all;
  while (all.size() < size) {
    auto const frame = co_await read();
    if (!frame) break;
    if (frame->stream != id || frame->type == FrameType::syn_reply) continue;
    all += frame->payload;
    if (frame->fin || frame->type == FrameType::rst_stream) break;
  }
  co_return all;
}

}  // namespace kportal::test
