// SPDX-License-Identifier: MIT
// Fuzzer of events as JSON: lines of anybody that are read, and events of hostile words that are
// written, with nlohmann's parser as the judge of what is JSON.
#include "events/ndjson.h"

#include <nlohmann/json.hpp>

#include "base/printable.h"
#include "events/text.h"
#include "tests/fuzz/fuzz.h"

namespace kportal::events {
namespace {

using fuzz::require;

bool same(Delivery const& a, Delivery const& b) {
  auto const* const dropped = std::get_if<Dropped>(&a);
  if (dropped != nullptr) {
    auto const* const other = std::get_if<Dropped>(&b);
    return other != nullptr && dropped->count == other->count;
  }
  auto const* const other = std::get_if<SharedEvent>(&b);
  if (other == nullptr) return false;
  auto const& event = *std::get<SharedEvent>(a);
  return event.seq == (*other)->seq && event.time == (*other)->time && event.fact == (*other)->fact;
}

void check_read(std::string_view line) {
  auto const read = parse_ndjson(line);
  if (!read) {
    require(fuzz::is_one_clean_line(read.error().text));
    return;
  }
  require(nlohmann::json::accept(line));
  std::string const written = to_ndjson(*read);
  auto const again = parse_ndjson(written);
  require(again.has_value() && same(*read, *again));
  require(to_ndjson(*again) == written);
  require(fuzz::is_one_clean_line(to_text(*read)));
}

void write(Fact fact) {
  Event const event{7, {}, std::move(fact)};
  std::string const line = to_ndjson(event);
  require(fuzz::is_one_clean_line(line) && nlohmann::json::accept(line));
  auto const read = parse_ndjson(line);
  require(read.has_value() && to_ndjson(*read) == line);
  require(fuzz::is_one_clean_line(to_text(event)));
}

void check_written(fuzz::Input input) {
  auto const word = [&input] { return std::string(input.line()); };
  ForwardRef const forward{word(), word(), word(), word(), 8080};
  std::string const message = word();
  std::string const pod = word();
  write(ForwardConnected{forward, pod, message, std::chrono::milliseconds(3), true});
  write(ForwardReconnecting{forward, Reason::timeout, message, 1, std::chrono::milliseconds(1)});
  write(HealthStatusChanged{forward, false, Status::starting, Status::active, Reason::timeout,
                            message, pod});
  write(ConfigReloaded{{word(), word()}, {word()}, {}, {message, pod}});
  write(ConfigRejected{{message, word(), word()}});
}

}  // namespace
}  // namespace kportal::events

extern "C" int LLVMFuzzerTestOneInput(std::uint8_t const* data, std::size_t size) {
  using namespace kportal;
  fuzz::Budget const budget;
  fuzz::Input input(data, size);
  if (input.byte() % 2 == 0) {
    events::check_read(input.rest());
  } else {
    events::check_written(input);
  }
  return 0;
}
