// SPDX-License-Identifier: MIT
#include "base/printable.h"

#include <cstdint>
#include <ctime>
#include <iterator>

#include <fmt/format.h>

namespace kportal {
namespace {

using std::chrono::floor;
using std::chrono::milliseconds;

struct Character {
  std::uint32_t point = 0;
  std::size_t size = 0;  // 0 = the first byte belongs to no character
};

// Strict UTF-8: no overlong forms, no surrogates, nothing over U+10FFFF. `text` is not empty.
Character first_character(std::string_view text) {
  auto const byte = [text](std::size_t at) {
    return std::uint32_t{static_cast<unsigned char>(text[at])};
  };
  std::uint32_t const lead = byte(0);
  if (lead < 0x80) return {lead, 1};
  std::size_t const size = lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : 2;
  if (lead < 0xC2 || lead > 0xF4 || text.size() < size) return {};
  std::uint32_t point = lead & (0x7FU >> size);
  for (std::size_t at = 1; at < size; ++at) {
    if ((byte(at) & 0xC0) != 0x80) return {};
    point = point << 6 | (byte(at) & 0x3F);
  }
  bool const overlong = (size == 3 && point < 0x800) || (size == 4 && point < 0x10000);
  bool const surrogate = point >= 0xD800 && point <= 0xDFFF;
  if (overlong || surrogate || point > 0x10FFFF) return {};
  return {point, size};
}

// C0, DEL, C1 (some terminals obey U+009B as they do ESC [), line separators, direction marks.
bool gives_orders(std::uint32_t point) {
  return point < 0x20 || (point >= 0x7F && point <= 0x9F) || point == 0x61C || point == 0x200E ||
         point == 0x200F || (point >= 0x2028 && point <= 0x202E) ||
         (point >= 0x2066 && point <= 0x2069);
}

// Appends `text`; `escape(point)` writes each character that must not stand as it is.
template <class MustEscape, class Escape>
void append_escaped(std::string& to, std::string_view text, MustEscape must_escape, Escape escape) {
  while (!text.empty()) {
    Character const character = first_character(text);
    if (character.size == 0) {
      to += "\xEF\xBF\xBD";  // U+FFFD
      text.remove_prefix(1);
      continue;
    }
    if (must_escape(character.point)) {
      escape(character.point);
    } else {
      to += text.substr(0, character.size);
    }
    text.remove_prefix(character.size);
  }
}

char short_escape(std::uint32_t point) {
  switch (point) {
    case '\n':
      return 'n';
    case '\r':
      return 'r';
    case '\t':
      return 't';
    default:
      return 0;
  }
}

}  // namespace

void append_printable(std::string& to, std::string_view text) {
  append_escaped(to, text, gives_orders, [&to](std::uint32_t point) {
    if (char const letter = short_escape(point)) {
      to += '\\';
      to += letter;
    } else if (point < 0x80) {
      fmt::format_to(std::back_inserter(to), "\\x{:02x}", point);
    } else {
      fmt::format_to(std::back_inserter(to), "\\u{:04x}", point);
    }
  });
}

std::string printable(std::string_view text) {
  std::string to;
  append_printable(to, text);
  return to;
}

void append_json_string(std::string& to, std::string_view text) {
  auto const must_escape = [](std::uint32_t point) {
    return point == '"' || point == '\\' || gives_orders(point);
  };
  to += '"';
  append_escaped(to, text, must_escape, [&to](std::uint32_t point) {
    if (point == '"' || point == '\\') {
      to += '\\';
      to += static_cast<char>(point);
    } else if (char const letter = short_escape(point)) {
      to += '\\';
      to += letter;
    } else {
      fmt::format_to(std::back_inserter(to), "\\u{:04x}", point);
    }
  });
  to += '"';
}

std::string utc_timestamp(WallTime time) {
  auto const at = floor<milliseconds>(time);
  auto const day = floor<std::chrono::days>(at);
  std::chrono::year_month_day const date(day);
  std::chrono::hh_mm_ss const clock(at - day);
  return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}Z", static_cast<int>(date.year()),
                     static_cast<unsigned>(date.month()), static_cast<unsigned>(date.day()),
                     clock.hours().count(), clock.minutes().count(), clock.seconds().count(),
                     clock.subseconds().count());
}

std::string local_time_of_day(WallTime time) {
  auto const at = floor<milliseconds>(time);
  auto const second = floor<std::chrono::seconds>(at);
  std::time_t const seconds = std::chrono::system_clock::to_time_t(second);
  std::tm local{};
  ::localtime_r(&seconds, &local);
  return fmt::format("{:02}:{:02}:{:02}.{:03}", local.tm_hour, local.tm_min, local.tm_sec,
                     (at - second).count());
}

}  // namespace kportal
