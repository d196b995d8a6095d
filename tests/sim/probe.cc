// SPDX-License-Identifier: MIT
#include "tests/sim/probe.h"

#include <algorithm>
#include <utility>

#include <boost/asio/error.hpp>

#include "healthcheck/probe.h"
#include "net/port_stream.h"

namespace kportal::sim {

using healthcheck::ProbeVerdict;

void Probe::start(std::uint16_t port, std::uint32_t request) {
  port_ = port;
  if (error_code const error = link_.open(*this, port, request)) {
    finish(ProbeVerdict(io_error(error, "open a stream")));
    return;
  }
  stage_.time.at(deadline_, [this] { conclude(); });
}

void Probe::cancel() {
  over_ = true;
  link_.reset(*this);
}

void Probe::data(Bytes) {
  if (!over_ && !end_) finish(ProbeVerdict());
}

void Probe::replied() {
  if (method_ != config::ProbeMethod::tcp_dial) return;
  stage_.time.at(std::min(deadline_, stage_.time.now() + healthcheck::kDialSettle), [this] {
    if (!awaits_text_) conclude();
  });
}

void Probe::ended(error_code why) {
  if (over_) return;
  end_ = why;
  await_text();
}

void Probe::told() {
  if (!over_) await_text();
}

// The words come right behind the end, or what came is not yet all of them.
void Probe::await_text() {
  if (text_over && (end_ || !text.empty())) {
    stage_.time.after({}, [this] { conclude(); });
    return;
  }
  if (awaits_text_ || (!end_ && text.empty())) return;
  awaits_text_ = true;
  if (!end_) link_.reset_data(*this);
  stage_.time.at(std::min(deadline_, stage_.time.now() + healthcheck::kDialSettle),
                 [this] { conclude(); });
}

void Probe::conclude() {
  if (over_) return;
  if (!text.empty()) {
    finish(ProbeVerdict(net::classify_error_text(text, port_)));
  } else if (end_ == make_error_code(boost::asio::error::eof)) {
    finish(ProbeVerdict());
  } else if (end_ == make_error_code(Errc::stream_failed)) {
    finish(ProbeVerdict(Error(Errc::stream_failed, "the stream was reset without a word why")));
  } else if (end_) {
    finish(ProbeVerdict(io_error(*end_, "the tunnel ended")));
  } else if (!is_replied()) {
    finish(ProbeVerdict(Error(Errc::timeout, "the probe was not answered in time")));
  } else {
    finish(ProbeVerdict::of_silence());
  }
}

void Probe::finish(ProbeVerdict verdict) {
  over_ = true;
  link_.reset(*this);
  done_(std::move(verdict));
}

}  // namespace kportal::sim
