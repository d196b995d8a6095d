// SPDX-License-Identifier: MIT
#include "cmd/event_lines.h"

#include <unistd.h>
#include <utility>

#include "cmd/color.h"
#include "events/ndjson.h"
#include "events/text.h"

namespace kportal::cmd {
namespace {

// What `-q` leaves: something is wrong.
bool is_trouble(events::Delivery const& delivery) {
  auto const* const event = std::get_if<events::SharedEvent>(&delivery);
  if (event == nullptr) return true;
  events::Fact const& fact = (*event)->fact;
  if (auto const* const change = std::get_if<events::HealthStatusChanged>(&fact)) {
    return change->status == events::Status::error || change->status == events::Status::stale;
  }
  return std::holds_alternative<events::ForwardFailed>(fact) ||
         std::holds_alternative<events::ConnectionFailed>(fact) ||
         std::holds_alternative<events::ConfigRejected>(fact) ||
         std::holds_alternative<events::WatchdogHung>(fact);
}

std::string lost_as_json(std::uint64_t count) {
  return events::to_ndjson(events::Dropped(count));
}

}  // namespace

EventLines::EventLines(events::Bus& bus, Writer& writer, CommonOptions const& options)
    : writer_(writer),
      out_(writer.add(
          STDOUT_FILENO, Writer::kMaxQueuedBytes,
          options.log_format == LogFormat::json ? lost_as_json : Writer::default_loss_line)),
      reader_(bus.read()),
      json_(options.log_format == LogFormat::json),
      only_trouble_(options.quiet),
      color_(wants_color(options.color)) {}

awaitable<void> EventLines::run() {
  for (;;) {
    auto const delivery = co_await reader_.next();
    if (!delivery) co_return;
    print(*delivery);
  }
}

void EventLines::print(std::string line) {
  if (!json_ && !only_trouble_) writer_.write(out_, std::move(line));
}

void EventLines::print(events::Delivery const& delivery) {
  if (only_trouble_ && !is_trouble(delivery)) return;
  auto const color = color_ ? events::Color::yes : events::Color::no;
  writer_.write(out_, json_ ? events::to_ndjson(delivery) : events::to_text(delivery, color));
}

}  // namespace kportal::cmd
