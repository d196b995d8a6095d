// SPDX-License-Identifier: MIT
#include "lab/gate.h"

#include <utility>

#include <boost/asio/error.hpp>

namespace kportal::lab {

GateControl::GateControl(asio::any_io_executor executor) : reads_(executor), writes_(executor) {}

void GateControl::wake() {
  reads_.set();
  writes_.set();
}

void GateControl::hold(bool reads, bool writes) {
  hold_reads_ = reads;
  hold_writes_ = writes;
  wake();
}

void GateControl::freeze(bool frozen) {
  frozen_ = frozen;
  wake();
}

void GateControl::cut() noexcept {
  if (gate_ != nullptr && !closed_) {
    error_code ignored;
    gate_->tcp_.socket().set_option(asio::socket_base::linger(true, 0), ignored);
  }
  close();
}

void GateControl::close() noexcept {
  closed_ = true;
  if (gate_ != nullptr) gate_->tcp_.close();
  wake();
}

Gate::Gate(asio::ip::tcp::socket socket, std::shared_ptr<GateControl> control)
    : tcp_(std::move(socket)), control_(std::move(control)) {
  control_->gate_ = this;
  if (control_->closed_) tcp_.close();
}

Gate::~Gate() {
  control_->gate_ = nullptr;
}

awaitable<net::IoResult> Gate::read_some(MutableBytes into) {
  while (control_->reads_held()) {
    co_await control_->reads_.wait();
  }
  auto const result = co_await tcp_.read_some(into);
  // What came while the gate was being shut waits too.
  while (control_->reads_held()) {
    co_await control_->reads_.wait();
  }
  if (control_->closed_) co_return net::IoResult(asio::error::operation_aborted, 0);
  co_return result;
}

awaitable<error_code> Gate::write(Chunk chunk) {
  while (control_->writes_held()) {
    co_await control_->writes_.wait();
  }
  if (control_->closed_) co_return asio::error::operation_aborted;
  co_return co_await tcp_.write(std::move(chunk));
}

std::size_t Gate::write_now(Bytes bytes) noexcept {
  if (control_->closed_ || control_->writes_held()) return 0;
  return tcp_.write_now(bytes);
}

void Gate::close() noexcept {
  control_->close();
}

}  // namespace kportal::lab
