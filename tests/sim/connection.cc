// SPDX-License-Identifier: MIT
#include "tests/sim/connection.h"

#include <utility>

#include <boost/asio/error.hpp>

#include "forward/relay.h"
#include "net/port_stream.h"

namespace kportal::sim {

using std::chrono::milliseconds;
using std::chrono::seconds;

Connection::Connection(Stage& stage, Ledger& ledger, ConnectionOwner& owner, ConnectionId id,
                       std::uint64_t mark, config::HalfClose half_close)
    : stage_(stage),
      ledger_(ledger),
      owner_(owner),
      id_(id),
      mark_(mark),
      machine_(half_close),
      arrived_(stage.time.now()),
      arrived_awake_(stage.time.awake()) {}

// The client

void Connection::begin(ClientPlan plan) {
  write(plan.first);
  for (int i = 1; i <= plan.more; ++i) {
    stage_.time.after(plan.pause * i, [this, size = plan.first] { write(size); });
  }
  if (plan.stall > Duration()) {
    stage_.time.after(plan.stall_at, [this] { set_reading(false); });
    stage_.time.after(plan.stall_at + plan.stall, [this] { set_reading(true); });
  }
  if (plan.end == ClientPlan::End::half_closes) {
    stage_.time.after(plan.until_end, [this] { half_close(); });
  } else if (plan.end == ClientPlan::End::resets) {
    stage_.time.after(plan.until_end, [this] { hang_up(); });
  }
}

void Connection::write(std::size_t size) {
  if (over_ || client_ended_ || client_reset_) return;
  written_ += size;
  pump_up();
}

void Connection::half_close() {
  if (over_ || client_reset_) return;
  client_ended_ = true;
  pump_up();
}

void Connection::hang_up() {
  if (over_) return;
  client_reset_ = true;
  if (!placed()) {
    owner_.client_left(id_);
    return;
  }
  pump_up();
}

// The relay

void Connection::place(TunnelId id, Link& link, std::uint16_t port, std::uint32_t request) {
  stage_.require(Promise::placed_once, !placed() && !over_,
                 "connection {} is placed while it is placed or over", id_);
  tunnel_ = id;
  port_ = port;
  ++placement_;
  if (error_code const error = link.open(*this, port, request)) {
    ConnectionEnd end;
    end.error = io_error(error, "open a stream");
    end.movable = machine_.movable(end.error->code);
    owner_.relay_left(id_, std::move(end));
    return;
  }
  link_ = &link;
  end_.reset();
  waits_for_text_ = false;
  judged_ = false;
  machine_.placed(stage_.time.now());
  fin_sent_at_ = {};
  if (!machine_.kept().empty()) link_->send(*this, machine_.kept());
  if (local_ended_) pass_fin();
  pump_up();
}

void Connection::place_on_ended(TunnelId id) {
  tunnel_ = id;
  ConnectionEnd end;
  end.error = Error(Errc::network, "the tunnel ended");
  end.movable = machine_.movable(end.error->code);
  owner_.relay_left(id_, std::move(end));
}

void Connection::reset() {
  stage_.require(Promise::ends_once, !placed() && !over_,
                 "connection {} is reset while it is placed or over", id_);
  over_ = true;
}

void Connection::abandon() {
  if (over_) return;
  over_ = true;
  set_full(false);
  if (link_ != nullptr) link_->reset(*this);
  link_ = nullptr;
}

void Connection::pump_up() {
  if (!placed() || discarding_ || local_failed_) return;
  if (client_reset_) {
    local_failed();
    return;
  }
  if (!link_->may_send(*this)) return;
  if (taken_ < written_) {
    auto const bytes = Ledger::pattern(mark_, taken_, written_ - taken_);
    taken_ = written_;
    machine_.sent(bytes, stage_.time.now());
    owner_.bytes_sent(tunnel_);
    tell_moved();
    link_->send(*this, bytes);
  }
  if (client_ended_ && !std::exchange(local_ended_, true)) {
    machine_.local_ended();
    pass_fin();
  }
}

void Connection::pass_fin() {
  if (!placed() || discarding_ || local_failed_) return;
  TimePoint const due = machine_.fin_due();
  if (due <= stage_.time.now()) {
    link_->finish(*this);
    machine_.fin_sent(stage_.time.now());
    fin_sent_at_ = stage_.time.now();
  } else if (due != kNever) {
    stage_.time.at(due, [this, at = placement_] {
      if (at == placement_) pass_fin();
    });
  }
}

void Connection::data(Bytes bytes) {
  if (local_failed_ || evicted_) return;
  if (!reads_ || buffered_ > 0) {
    buffered_ += bytes.size();
    set_full(buffered_ >= kMaxBuffered);
    return;
  }
  deliver(bytes.size());
}

// To the client.
void Connection::deliver(std::size_t size) {
  bool const first = !machine_.answered();
  machine_.received(stage_.time.now());
  downloaded_ += size;
  owner_.bytes_received(tunnel_);
  if (first) owner_.relay_answered(tunnel_);
  tell_moved();
}

void Connection::tell_moved() {
  TimePoint const now = stage_.time.now();
  if (now < next_tell_) return;
  next_tell_ = now + forward::Relay::kTellMoved;
  owner_.relay_moved(id_);
}

void Connection::set_reading(bool reads) {
  reads_ = reads;
  if (!reads || !placed() || local_failed_ || evicted_ || buffered_ == 0) return;
  deliver(std::exchange(buffered_, 0));
  set_full(false);
  if (end_) judge_soon();
}

// Of a stream that has ended no more can come, so it stops nobody.
void Connection::set_full(bool full) {
  if (end_) full = false;
  if (full == full_ || !placed()) return;
  full_ = full;
  full_since_ = stage_.time.awake();
  link_->count_full(full);
  owner_.relay_full(id_, full);
}

void Connection::evict(Error why) {
  if (!placed()) return;
  evicted_ = std::move(why);
  link_->reset_data(*this);
  if (!end_) ended(Errc::closed);
  buffered_ = 0;
  judge_soon();
}

void Connection::local_failed() {
  local_failed_ = true;
  link_->reset_data(*this);
  if (!end_) ended(Errc::closed);
}

// As in the product this is seen in a later turn of the loop.
void Connection::ended(error_code why) {
  if (end_) return;
  end_ = why;
  set_full(false);
  stage_.time.after({}, [this, at = placement_] {
    if (at == placement_ && placed()) judge_soon();
  });
}

// What came before the end is delivered first.
void Connection::judge_soon() {
  if (!local_failed_ && !evicted_ && buffered_ > 0) return;
  ended_at_ = stage_.time.now();
  if (*end_ != boost::asio::error::eof) link_->reset_data(*this);
  if (local_failed_ || evicted_ || text_over) {
    judge();
    return;
  }
  waits_for_text_ = true;
  stage_.time.after(forward::Relay::kErrorTextWait, [this, at = placement_] {
    if (at == placement_ && waits_for_text_) judge();
  });
}

void Connection::told() {
  if (!waits_for_text_ || !text_over) return;
  waits_for_text_ = false;
  stage_.time.after({}, [this, at = placement_] {
    if (at == placement_ && placed()) judge();
  });
}

void Connection::judge() {
  waits_for_text_ = false;
  if (judged_) return;
  judged_ = true;
  ConnectionEnd end;
  bool failed = false;
  if (evicted_ || !local_failed_) {
    Error const error = why_not_clean(failed);
    if (failed) {
      end.error = error;
      end.movable = machine_.movable(error.code);
      end.blocks_tunnel = blocks_tunnel();
      leave(std::move(end));
      return;
    }
    Ledger::Record const& record = ledger_[mark_];
    stage_.require(Promise::delivered,
                   record.seen_by == 0 || (record.ended_answer && record.answered == downloaded_),
                   "connection {} ended cleanly with {} bytes of the {} that the pod sent", id_,
                   downloaded_, record.answered);
  }
  if (!evicted_ && !local_failed_ && ledger_[mark_].cut && fin_sent_at_ != TimePoint{}) {
    Duration const after = ended_at_ - fin_sent_at_;
    bool const by_knife =
        after >= forward::RelayMachine::kCutFrom && after <= forward::RelayMachine::kCutUntil;
    stage_.require(Promise::delivered, !by_knife, "connection {} was cut and ended cleanly", id_);
  }
  discarding_ = true;
  bool const lingers = !local_failed_ && !client_ended_ && stage_.random.chance(20);
  Duration const wait = lingers ? stage_.random.between(milliseconds(1), seconds(5)) : Duration();
  stage_.time.after(wait, [this, at = placement_] {
    if (at == placement_ && placed()) leave(ConnectionEnd());
  });
}

// As Relay::judge.
Error Connection::why_not_clean(bool& failed) const {
  failed = true;
  if (evicted_) return *evicted_;
  bool const clean = *end_ == boost::asio::error::eof;
  if (!text.empty()) {
    Error error = net::classify_error_text(text, port_);
    if (error.code == Errc::stream_failed) error.code = Errc::pod_reset;
    return error;
  }
  if (!clean && *end_ == Errc::stream_failed) return {Errc::pod_reset, "reset in the pod"};
  if (!clean) return io_error(*end_, "tunnel");
  if (!machine_.end_is_trusted(ended_at_)) return {Errc::half_close_cut, "cut by the runtime"};
  failed = false;
  return {};
}

// As Relay::judge.
bool Connection::blocks_tunnel() const {
  if (evicted_ || text.empty() || !machine_.has_sent()) return false;
  Errc const cause = net::classify_error_text(text, port_).code;
  bool const by_port = cause == Errc::pod_refused || cause == Errc::stream_failed;
  return by_port && *end_ == boost::asio::error::eof;
}

void Connection::leave(ConnectionEnd end) {
  set_full(false);
  link_->reset(*this);
  link_ = nullptr;
  ++placement_;
  owner_.relay_left(id_, std::move(end));
}

}  // namespace kportal::sim
