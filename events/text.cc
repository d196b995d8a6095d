// SPDX-License-Identifier: MIT
#include "events/text.h"

#include <string_view>

#include <fmt/format.h>

#include "base/printable.h"

namespace kportal::events {
namespace {

enum class Tint { none, dim, red, green, yellow };

std::string_view start_of(Tint tint) {
  switch (tint) {
    case Tint::none:
      return "";
    case Tint::dim:
      return "\x1b[2m";
    case Tint::red:
      return "\x1b[31m";
    case Tint::green:
      return "\x1b[32m";
    case Tint::yellow:
      return "\x1b[33m";
  }
  return "";
}

Tint tint_of(Status status) {
  switch (status) {
    case Status::active:
      return Tint::green;
    case Status::error:
      return Tint::red;
    case Status::starting:
    case Status::reconnecting:
    case Status::stale:
      return Tint::yellow;
    case Status::disabled:
    case Status::idle:
      return Tint::dim;
  }
  return Tint::none;
}

std::string in_words(std::chrono::milliseconds time) {
  if (time.count() < 1000) return fmt::format("{} ms", time.count());
  return fmt::format("{:.1f} s", static_cast<double>(time.count()) / 1000);
}

// Columns two spaces apart. Everything that goes in is made printable; only tints are not.
class Line {
 public:
  explicit Line(Color color) : color_(color) {}

  void column(std::string_view text, Tint tint = Tint::none) {
    if (!line_.empty()) line_ += "  ";
    append(text, tint);
  }
  void append(std::string_view text, Tint tint = Tint::none) {
    bool const tinted = color_ == Color::yes && tint != Tint::none;
    if (tinted) line_ += start_of(tint);
    append_printable(line_, text);
    if (tinted) line_ += "\x1b[0m";
  }
  void pod(std::string_view name) {
    if (!name.empty()) column(fmt::format("pod {}", name));
  }
  void why(Reason reason, std::string_view message) {
    std::string_view const word = to_word(reason);
    if (!word.empty() && !message.empty()) {
      column(fmt::format("{}: {}", word, message));
    } else if (!word.empty() || !message.empty()) {
      column(word.empty() ? message : word);
    }
  }

  std::string finish() && { return std::move(line_); }

 private:
  std::string line_;
  Color color_;
};

struct Tell {
  Line& line;

  void operator()(ForwardStarting const&) const { line.column("starting"); }
  void operator()(ForwardConnected const& fact) const {
    line.column(fact.refresh ? "refreshed" : "connected");
    line.pod(fact.pod);
    line.column(fmt::format("{} in {}", fact.transport, in_words(fact.dial)));
    // Where its id does not say it.
    bool const any_port = fact.forward.id.ends_with(":auto");
    if (any_port) line.column(fmt::format("local port {}", fact.forward.local_port));
  }
  void operator()(ForwardDisconnected const& fact) const {
    line.column("disconnected", Tint::yellow);
    line.pod(fact.pod);
    line.why(fact.reason, fact.message);
  }
  void operator()(ForwardReconnecting const& fact) const {
    line.column("reconnecting");
    std::string const when = fact.delay.count() == 0 ? "now" : "in " + in_words(fact.delay);
    line.column(fmt::format("attempt {} {}", fact.attempt, when));
    line.why(fact.reason, fact.message);
  }
  void operator()(ForwardStopped const&) const { line.column("stopped"); }
  void operator()(ForwardFailed const& fact) const {
    line.column("attempt failed", Tint::yellow);
    line.why(fact.reason, fact.message);
  }
  void operator()(HealthStatusChanged const& fact) const {
    if (fact.first) {
      line.column(to_word(fact.status), tint_of(fact.status));
    } else {
      line.column(to_word(fact.old), tint_of(fact.old));
      line.append(" -> ");
      line.append(to_word(fact.status), tint_of(fact.status));
    }
    line.pod(fact.pod);
    line.why(fact.reason, fact.message);
  }
  void operator()(HealthStale const& fact) const {
    line.column("stale", Tint::yellow);
    line.why(Reason::none, fact.message);
  }
  void operator()(ConnectionFailed const& fact) const {
    line.column("connection failed", Tint::yellow);
    line.pod(fact.pod);
    line.why(fact.reason, fact.message);
  }
  void operator()(WatchdogHung const& fact) const {
    line.column("hung", Tint::red);
    line.why(Reason::none, fact.message);
  }
  void operator()(ConfigReloaded const& fact) const {
    line.column("reloaded");
    ids("added", fact.added);
    ids("removed", fact.removed);
    ids("changed", fact.changed);
    line.column(fmt::format("{} unchanged", fact.unchanged.size()));
  }
  void operator()(ConfigRejected const& fact) const {
    line.column("rejected", Tint::red);
    line.column(fmt::format("{}", fmt::join(fact.problems, "; ")));
  }

  void ids(std::string_view what, std::vector<std::string> const& which) const {
    if (!which.empty()) line.column(fmt::format("{} {}", what, fmt::join(which, ", ")));
  }
};

// A watchdog's event may be about the whole program.
std::string_view subject_of(Fact const& fact) {
  ForwardRef const* const forward = forward_of(fact);
  if (forward == nullptr) return "config";
  return forward->id.empty() ? "kportal-cpp" : std::string_view(forward->id);
}

}  // namespace

std::string to_text(Event const& event, Color color) {
  Line line(color);
  line.column(local_time_of_day(event.time), Tint::dim);
  line.column(subject_of(event.fact));
  std::visit(Tell{line}, event.fact);
  return std::move(line).finish();
}

std::string to_text(Dropped dropped, Color color) {
  Line line(color);
  line.column("events", Tint::yellow);
  line.append(fmt::format(": {} {} lost here", dropped.count, dropped.count == 1 ? "was" : "were"));
  return std::move(line).finish();
}

std::string to_text(Delivery const& delivery, Color color) {
  if (auto const* const dropped = std::get_if<Dropped>(&delivery)) return to_text(*dropped, color);
  return to_text(*std::get<SharedEvent>(delivery), color);
}

}  // namespace kportal::events
