// SPDX-License-Identifier: MIT
// EventLines: the subscriber that prints: events as lines on standard output, for people or as
// NDJSON. It never holds anybody up: what standard output does not take is counted. Owned by App.
#pragma once

#include "base/task_group.h"
#include "base/writer.h"
#include "cmd/options.h"
#include "events/bus.h"

namespace kportal::cmd {

class EventLines {
 public:
  EventLines(events::Bus& bus, Writer& writer, CommonOptions const& options);

  // Prints until the bus is gone or it is cancelled.
  awaitable<void> run();
  Writer::Target target() const { return out_; }
  // A line of another kind; not in JSON output, where every line is an event.
  void print(std::string line);

 private:
  void print(events::Delivery const& delivery);

  Writer& writer_;
  Writer::Target out_;
  events::Reader reader_;
  bool json_;
  bool only_trouble_;
  bool color_;
};

}  // namespace kportal::cmd
