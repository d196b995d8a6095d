// SPDX-License-Identifier: MIT
#include "events/ndjson.h"

#include <charconv>
#include <limits>
#include <optional>
#include <type_traits>
#include <utility>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "base/printable.h"

namespace kportal::events {
namespace {

using Json = nlohmann::json;
using std::chrono::milliseconds;

// A config.reloaded of some thousand forwards; a longer line is not an event.
constexpr std::size_t kMaxLine = 1024 * 1024;

// The fields of each type in the order of the line. `io` either writes them or reads them.
template <class Io, class F>
void visit_fields(Io& io, F& fact) {
  using Type = std::remove_const_t<F>;
  if constexpr (std::is_same_v<Type, ForwardConnected>) {
    io.field("pod", fact.pod);
    io.field("transport", fact.transport);
    io.field("dialMillis", fact.dial);
    io.field_if_true("refresh", fact.refresh);
  } else if constexpr (std::is_same_v<Type, ForwardDisconnected> ||
                       std::is_same_v<Type, ConnectionFailed>) {
    io.field("reason", fact.reason);
    io.field("message", fact.message);
    io.field("pod", fact.pod);
  } else if constexpr (std::is_same_v<Type, ForwardReconnecting>) {
    io.field("reason", fact.reason);
    io.field("message", fact.message);
    io.field("attempt", fact.attempt);
    io.field("delayMillis", fact.delay);
  } else if constexpr (std::is_same_v<Type, ForwardFailed>) {
    io.field("reason", fact.reason);
    io.field("message", fact.message);
  } else if constexpr (std::is_same_v<Type, HealthStatusChanged>) {
    io.field_unless("old", fact.old, fact.first);
    io.field("status", fact.status);
    io.field("reason", fact.reason);
    io.field("message", fact.message);
    io.field("pod", fact.pod);
  } else if constexpr (std::is_same_v<Type, HealthStale> || std::is_same_v<Type, WatchdogHung>) {
    io.field("message", fact.message);
  } else if constexpr (std::is_same_v<Type, ConfigReloaded>) {
    io.field("added", fact.added);
    io.field("removed", fact.removed);
    io.field("changed", fact.changed);
    io.field("unchanged", fact.unchanged);
  } else if constexpr (std::is_same_v<Type, ConfigRejected>) {
    io.field("problems", fact.problems);
  } else {
    static_assert(std::is_same_v<Type, ForwardStarting> || std::is_same_v<Type, ForwardStopped>);
  }
}

template <class Io, class Ref>
void visit_forward(Io& io, Ref& forward) {
  io.field("forward", forward.id);
  io.field("context", forward.context);
  io.field("namespace", forward.namespace_);
  io.field("resource", forward.resource);
  io.field("localPort", forward.local_port);
}

class JsonLine {
 public:
  void field(std::string_view name, std::string_view value) {
    begin(name);
    append_json_string(line_, value);
  }
  template <class Number>
    requires std::is_integral_v<Number>
  void field(std::string_view name, Number value) {
    begin(name);
    line_ += std::to_string(value);
  }
  void field(std::string_view name, milliseconds value) { field(name, value.count()); }
  void field(std::string_view name, Status value) { field(name, to_word(value)); }
  void field(std::string_view name, Reason value) { field(name, to_word(value)); }
  void field(std::string_view name, std::vector<std::string> const& values) {
    begin(name);
    line_ += '[';
    for (std::size_t i = 0; i < values.size(); ++i) {
      if (i > 0) line_ += ',';
      append_json_string(line_, values[i]);
    }
    line_ += ']';
  }
  void field_if_true(std::string_view name, bool value) {
    if (!value) return;
    begin(name);
    line_ += "true";
  }
  void field_unless(std::string_view name, Status value, bool absent) {
    field(name, absent ? std::string_view() : to_word(value));
  }

  std::string finish() && { return std::move(line_) + '}'; }

 private:
  void begin(std::string_view name) {
    line_ += line_.empty() ? "{\"" : ",\"";
    line_ += name;
    line_ += "\":";
  }

  std::string line_;
};

// Leaves a field that is missing as it is; a word outside the tables or a value of another kind
// makes the whole line bad.
class JsonFields {
 public:
  explicit JsonFields(Json const& object) : object_(object) {}

  bool good() const { return good_; }

  void field(char const* name, std::string& value) {
    Json const* const found = find(name, &Json::is_string);
    if (found != nullptr) value = found->get<std::string>();
  }
  template <class Number>
    requires std::is_integral_v<Number>
  void field(char const* name, Number& value) {
    Json const* const found = find(name, &Json::is_number_unsigned);
    if (found == nullptr) return;
    auto const number = found->get<std::uint64_t>();
    if (std::cmp_greater(number, std::numeric_limits<Number>::max())) {
      good_ = false;
    } else {
      value = static_cast<Number>(number);
    }
  }
  void field(char const* name, milliseconds& value) {
    auto count = value.count();
    field(name, count);
    value = milliseconds(count);
  }
  void field(char const* name, Status& value) { word(name, value, parse_status); }
  void field(char const* name, Reason& value) { word(name, value, parse_reason); }
  void field(char const* name, std::vector<std::string>& values) {
    Json const* const found = find(name, &Json::is_array);
    if (found == nullptr) return;
    for (Json const& element : *found) {
      good_ = good_ && element.is_string();
      if (good_) values.push_back(element.get<std::string>());
    }
  }
  void field_if_true(char const* name, bool& value) {
    Json const* const found = find(name, &Json::is_boolean);
    if (found != nullptr) value = found->get<bool>();
  }
  void field_unless(char const* name, Status& value, bool& absent) {
    std::string word_or_nothing;
    field(name, word_or_nothing);
    absent = word_or_nothing.empty();
    if (!absent) field(name, value);
  }

 private:
  Json const* find(char const* name, bool (Json::*is_kind)() const noexcept) {
    auto const found = object_.find(name);
    if (found == object_.end()) return nullptr;
    bool const matches = ((*found).*is_kind)();
    good_ = good_ && matches;
    return matches ? &*found : nullptr;
  }
  template <class Value>
  void word(char const* name, Value& value, std::optional<Value> (*parse)(std::string_view)) {
    Json const* const found = find(name, &Json::is_string);
    if (found == nullptr) return;
    auto const parsed = parse(found->get_ref<std::string const&>());
    good_ = good_ && parsed.has_value();
    if (parsed) value = *parsed;
  }

  Json const& object_;
  bool good_ = true;
};

// The clock counts nanoseconds in 64 bits, which end within the years 1677 and 2262.
constexpr std::chrono::year kFirstYear(1678);
constexpr std::chrono::year kLastYear(2261);

// Exactly the form of utc_timestamp().
std::optional<WallTime> parse_timestamp(std::string_view text) {
  constexpr std::string_view kForm = "0000-00-00T00:00:00.000Z";
  if (text.size() != kForm.size()) return std::nullopt;
  for (std::size_t i = 0; i < kForm.size(); ++i) {
    bool const digit = text[i] >= '0' && text[i] <= '9';
    if (kForm[i] == '0' ? !digit : text[i] != kForm[i]) return std::nullopt;
  }
  auto const number = [text](std::size_t at, std::size_t size) {
    int value = 0;
    std::from_chars(text.data() + at, text.data() + at + size, value);
    return value;
  };
  std::chrono::year_month_day const date(std::chrono::year(number(0, 4)),
                                         std::chrono::month(static_cast<unsigned>(number(5, 2))),
                                         std::chrono::day(static_cast<unsigned>(number(8, 2))));
  bool const counted = date.year() >= kFirstYear && date.year() <= kLastYear;
  if (!counted || !date.ok() || number(11, 2) > 23 || number(14, 2) > 59 || number(17, 2) > 59) {
    return std::nullopt;
  }
  return std::chrono::sys_days(date) + std::chrono::hours(number(11, 2)) +
         std::chrono::minutes(number(14, 2)) + std::chrono::seconds(number(17, 2)) +
         milliseconds(number(20, 3));
}

// The fact of this type with nothing in it.
template <std::size_t Index = 0>
std::optional<Fact> empty_fact(std::string_view type) {
  if constexpr (Index < std::variant_size_v<Fact>) {
    Fact fact(std::in_place_index<Index>);
    if (type_of(fact) == type) return fact;
    return empty_fact<Index + 1>(type);
  } else {
    return std::nullopt;
  }
}

Error not_an_event(std::string_view cause) {
  return Error(Errc::protocol, fmt::format("not an event line: {}", cause));
}

Result<Delivery> parse_object(Json const& object) {
  JsonFields fields(object);
  std::string type;
  fields.field("type", type);
  if (type == "events.dropped") {
    Dropped dropped(0);
    fields.field("count", dropped.count);
    if (!fields.good() || dropped.count == 0) return not_an_event("no count");
    return Delivery(dropped);
  }
  std::optional<Fact> fact = empty_fact(type);
  if (!fact) return Error(Errc::unsupported, fmt::format("unknown type {}", printable(type)));

  Event event{0, {}, std::move(*fact)};
  std::string time;
  fields.field("seq", event.seq);
  fields.field("time", time);
  auto const parsed_time = parse_timestamp(time);
  if (event.seq == 0 || !parsed_time) return not_an_event("no seq, or no time in UTC");
  event.time = *parsed_time;
  std::visit(
      [&fields](auto& of_type) {
        if constexpr (requires { of_type.forward; }) visit_forward(fields, of_type.forward);
        visit_fields(fields, of_type);
      },
      event.fact);
  if (!fields.good()) return not_an_event("a field with a value it cannot have");
  return Delivery(std::make_shared<Event const>(std::move(event)));
}

}  // namespace

std::string to_ndjson(Event const& event) {
  JsonLine line;
  line.field("seq", event.seq);
  line.field("time", utc_timestamp(event.time));
  line.field("type", type_of(event.fact));
  if (ForwardRef const* const forward = forward_of(event.fact)) visit_forward(line, *forward);
  std::visit([&line](auto const& fact) { visit_fields(line, fact); }, event.fact);
  return std::move(line).finish();
}

std::string to_ndjson(Dropped dropped) {
  JsonLine line;
  line.field("type", "events.dropped");
  line.field("count", dropped.count);
  return std::move(line).finish();
}

std::string to_ndjson(Delivery const& delivery) {
  if (auto const* const dropped = std::get_if<Dropped>(&delivery)) return to_ndjson(*dropped);
  return to_ndjson(*std::get<SharedEvent>(delivery));
}

Result<Delivery> parse_ndjson(std::string_view line) {
  if (line.size() > kMaxLine) return not_an_event("too long");
  Json const object = Json::parse(line, nullptr, false);
  if (!object.is_object()) return not_an_event("no JSON object");
  return parse_object(object);
}

}  // namespace kportal::events
