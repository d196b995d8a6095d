// SPDX-License-Identifier: MIT
#include "tests/sim/runtime.h"

#include <algorithm>
#include <utility>

namespace kportal::sim {

using net::Fin;
using net::StreamId;
using std::chrono::milliseconds;

void Runtime::closed() {
  over_ = true;
  exchanges_.clear();
}

std::size_t Runtime::users() const {
  return static_cast<std::size_t>(std::ranges::count_if(
      exchanges_, [](auto const& e) { return e.second.accepted && !e.second.over; }));
}

Runtime::Exchange* Runtime::find(StreamId data) {
  auto const at = exchanges_.find(data);
  return at == exchanges_.end() || at->second.over ? nullptr : &at->second;
}

void Runtime::stream_opened(StreamId stream, net::Headers headers, Fin) {
  std::string type;
  std::string request;
  for (auto const& [name, value] : headers) {
    if (name == "streamtype") type = value;
    if (name == "requestid") request = value;
  }
  // The error stream is opened right before its data stream.
  if (type == "error" && (is_jammed(stream) || is_jammed(stream + 2))) {
    waiting_.insert(request);
    return;
  }
  if (waiting_.contains(request)) return;
  stage_.expect(!link_.server().reply(stream, {}), "the server cannot reply");
  if (type == "error") {
    stage_.expect(errors_.emplace(request, stream).second, "request id {} is used twice", request);
    return;
  }
  auto const error = errors_.find(request);
  stage_.expect(type == "data" && error != errors_.end(), "a data stream without error stream");
  Exchange exchange;
  exchange.request = request;
  exchange.error = error->second;
  exchange.data = stream;
  errors_.erase(error);
  exchanges_.emplace(stream, std::move(exchange));
  stage_.time.after(stage_.random.between(milliseconds(1), milliseconds(5)),
                    [this, stream] { dial_port(stream); });
}

void Runtime::dial_port(StreamId data) {
  Exchange* const exchange = find(data);
  if (over_ || exchange == nullptr) return;
  if (sandbox_.closed) {
    refuse(*exchange, "network namespace for sandbox \"s\" is closed");
  } else if (sandbox_.port == Port::refuses) {
    refuse(*exchange, "failed to connect to localhost:8080: connect: connection refused");
  } else if (sandbox_.port == Port::resets) {
    fail(*exchange, "read: connection reset by peer");
  } else {
    accept(*exchange);
  }
  link_.flush();
}

void Runtime::accept(Exchange& exchange) {
  exchange.accepted = true;
  exchange.number = stage_.random.next() | 1;
  App const app =
      stage_.random.pick({App::echo, App::echo, App::banner, App::answer, App::stream, App::mute});
  exchange.app = sandbox_.port == Port::mute ? App::mute : app;
  sandbox_.at_end.emplace_back([this, data = exchange.data] {
    if (Exchange* const it = find(data); it != nullptr && !over_) {
      fail(*it, "read: connection reset by peer");
      link_.flush();
    }
  });
  if (exchange.app == App::banner) say(exchange, 16);
  if (exchange.app == App::stream) keep_saying(exchange.data);
  if (!exchange.first.empty()) {
    auto const first = std::exchange(exchange.first, {});
    note(exchange, first);
  }
}

// Before the port accepted anything.
void Runtime::refuse(Exchange& exchange, std::string const& why) {
  exchange.refused = true;
  fail(exchange, why);
  jam_if_unread(exchange, exchange.first.size());
}

void Runtime::jam_if_unread(Exchange const& exchange, std::size_t bytes) {
  bool const by_port = sandbox_.port == Port::refuses && !sandbox_.closed;
  if (!is_old_ || !exchange.refused || !by_port || bytes == 0 || jammed()) return;
  stage_.trace("a tunnel is blocked by what was sent to a port that refused it");
  stage_.coverage.hit("fault.jam");
  jammed_ = exchange.data % kWorkers;
}

void Runtime::fail(Exchange& exchange, std::string const& why) {
  exchange.over = true;
  std::string const text = "error forwarding port 8080 to pod s, uid : " + why;
  static_cast<void>(link_.server().send(exchange.error, Chunk::copy_of(as_bytes(text)), Fin::yes));
  if (stage_.random.chance(50) && !is_old_) {
    link_.server().reset(exchange.data, net::RstStatus::cancel);
  } else {
    static_cast<void>(link_.server().send(exchange.data, Chunk(), Fin::yes));
  }
}

void Runtime::say(Exchange& exchange, std::size_t size) {
  if (link_.server().queued(exchange.data)) return;
  std::vector<std::byte> const bytes(size, std::byte('x'));
  if (link_.server().send(exchange.data, Chunk::copy_of(bytes), Fin::no)) return;
  exchange.sent += size;
  exchange.said_more = exchange.fin_came;
  if (exchange.id != 0) ledger_[exchange.id].answered = exchange.sent;
}

void Runtime::keep_saying(StreamId data) {
  Exchange* const exchange = find(data);
  if (over_ || exchange == nullptr || link_.over()) return;
  say(*exchange, kPiece);
  link_.flush();
  stage_.time.after(stage_.random.between(milliseconds(300), milliseconds(3000)),
                    [this, data] { keep_saying(data); });
}

// A user's bytes: they must be the next of their connection, and of no other application's.
void Runtime::note(Exchange& exchange, Bytes bytes) {
  for (std::byte const byte : bytes) {
    if (exchange.received < Ledger::kIdSize) {
      exchange.id |= static_cast<std::uint64_t>(byte) << (8 * exchange.received);
    } else {
      stage_.require(Promise::bytes_in_order, byte == Ledger::at(exchange.id, exchange.received),
                     "connection {}: byte {} is another", exchange.id, exchange.received);
    }
    ++exchange.received;
  }
  if (exchange.received < Ledger::kIdSize) return;
  Ledger::Record& record = ledger_[exchange.id];
  stage_.require(Promise::seen_once, record.seen_by == 0 || record.seen_by == exchange.number,
                 "connection {} was sent to a second pod after one may have seen it", exchange.id);
  record.seen_by = exchange.number;
  record.seen = exchange.received;
  record.answered = exchange.sent;
  if (exchange.app == App::echo || exchange.app == App::banner) say(exchange, bytes.size());
  if (exchange.app == App::answer) {
    say(exchange, kPiece);
    end_cleanly(exchange.data);
  }
}

void Runtime::stream_data(StreamId stream, Bytes bytes) {
  if (auto const at = exchanges_.find(stream); at != exchanges_.end()) {
    jam_if_unread(at->second, bytes.size());
  }
  Exchange* const exchange = find(stream);
  if (exchange == nullptr) return;
  if (exchange->accepted) {
    note(*exchange, bytes);
  } else {
    exchange->first.insert(exchange->first.end(), bytes.begin(), bytes.end());
  }
}

void Runtime::stream_finished(StreamId stream) {
  Exchange* const exchange = find(stream);
  if (exchange == nullptr) return;
  exchange->fin_came = true;
  bool const goes_on = exchange->app == App::stream || exchange->app == App::mute;
  Duration const when = goes_on ? kKnife : milliseconds(10);
  stage_.time.after(when, [this, stream] {
    if (over_) return;
    Exchange const* const it = find(stream);
    if (it != nullptr && it->said_more && it->app == App::stream) ledger_[it->id].cut = true;
    end_cleanly(stream);
    link_.flush();
  });
}

void Runtime::end_cleanly(StreamId data) {
  Exchange* const exchange = find(data);
  if (exchange == nullptr) return;
  exchange->over = true;
  if (exchange->id != 0) ledger_[exchange->id].ended_answer = true;
  static_cast<void>(link_.server().send(exchange->data, Chunk(), Fin::yes));
  static_cast<void>(link_.server().send(exchange->error, Chunk(), Fin::yes));
}

// The client gave a connection up: its error stream is ended, too.
void Runtime::stream_reset(StreamId stream, net::RstStatus) {
  auto const at = exchanges_.find(stream);
  if (at == exchanges_.end()) return;
  if (!at->second.over) {
    static_cast<void>(link_.server().send(at->second.error, Chunk(), Fin::yes));
  }
  exchanges_.erase(at);
}

}  // namespace kportal::sim
