// SPDX-License-Identifier: MIT
#include "config/validate.h"

#include <optional>
#include <unordered_map>

#include <fmt/format.h>

#include "base/printable.h"
#include "config/grammar.h"

namespace kportal::config {
namespace {

enum class Family { v4, v6 };

struct Address {
  Family family;
  std::string text;
};

// What a listener on `address` binds.
std::vector<Address> bound_addresses(std::string_view address) {
  if (address == "localhost") return {{Family::v4, "127.0.0.1"}, {Family::v6, "::1"}};
  Family const family = address.find(':') == std::string_view::npos ? Family::v4 : Family::v6;
  return {{family, std::string(address)}};
}

bool is_wildcard(Address const& address) {
  return address.text == (address.family == Family::v4 ? "0.0.0.0" : "::");
}

bool overlap(Address const& a, Address const& b) {
  return a.family == b.family && (a.text == b.text || is_wildcard(a) || is_wildcard(b));
}

// Finds who came first with the same thing. Each check is one look-up, so that 30,000 forwards are
// no burden.
class Together {
 public:
  Together(std::vector<PlacedForward> const& forwards, std::vector<std::string> const& files,
           Report& problems)
      : forwards_(forwards), files_(files), problems_(problems) {}

  void check(std::size_t index) {
    PlacedForward const& forward = forwards_[index];
    if (forward.has_identity) {
      auto const [first, is_new] = ids_.try_emplace(forward.spec.id(), index);
      if (!is_new) {
        complain(forward, forward.place, "",
                 fmt::format("{} is already defined at {}; give one of them another alias or "
                             "localPort",
                             in_quotes(forward.spec.id()), place_text(forwards_[first->second])));
        return;
      }
    }
    check_alias(index);
    if (forward.has_local_port && forward.spec.local_port != 0) check_port(index);
  }

 private:
  void check_alias(std::size_t index) {
    PlacedForward const& forward = forwards_[index];
    if (forward.spec.alias.empty()) return;
    auto const [first, is_new] = aliases_.try_emplace(forward.spec.alias, index);
    if (is_new) return;
    complain(forward, forward.alias_place, ".alias",
             fmt::format("{} is already used by {}", in_quotes(forward.spec.alias),
                         named(first->second, forwards_[first->second].alias_place)));
  }

  void check_port(std::size_t index) {
    PlacedForward const& forward = forwards_[index];
    std::optional<std::size_t> taken;
    for (std::string const& text : forward.spec.addresses) {
      for (Address const& address : bound_addresses(text)) {
        std::optional<std::size_t> const other = claim(index, address);
        if (other && !taken) taken = other;
      }
    }
    if (!taken) return;
    complain(forward, forward.local_port_place, ".localPort",
             fmt::format("{} is already used by {}", forward.spec.local_port,
                         named(*taken, forwards_[*taken].local_port_place)));
  }

  // Who of the earlier ones listens there.
  std::optional<std::size_t> claim(std::size_t index, Address const& address) {
    std::uint16_t const port = forwards_[index].spec.local_port;
    std::string const any = fmt::format("{}/{}", port, address.family == Family::v4 ? "v4" : "v6");
    std::string const wildcard = any + "/all";
    std::string const exact = fmt::format("{}/{}", any, address.text);
    std::optional<std::size_t> other = find(wildcard, index);
    if (!other) other = find(is_wildcard(address) ? any : exact, index);
    bound_.try_emplace(any, index);
    bound_.try_emplace(is_wildcard(address) ? wildcard : exact, index);
    return other;
  }

  std::optional<std::size_t> find(std::string const& key, std::size_t except) const {
    auto const found = bound_.find(key);
    if (found == bound_.end() || found->second == except) return {};
    return found->second;
  }

  std::string place_text(PlacedForward const& forward) const {
    return place_text(forward, forward.place);
  }
  std::string place_text(PlacedForward const& forward, Place place) const {
    return fmt::format("{}:{}:{}", files_[forward.file], place.line, place.column);
  }
  std::string named(std::size_t index, Place place) const {
    PlacedForward const& forward = forwards_[index];
    std::string const where = place_text(forward, place);
    if (!forward.has_identity) return fmt::format("{} ({})", forward.path, where);
    return fmt::format("{} ({})", printable(forward.spec.id()), where);
  }

  void complain(PlacedForward const& forward, Place place, std::string_view key,
                std::string const& message) {
    problems_.add(forward.file, place, fmt::format("{}{}: {}", forward.path, key, message));
  }

  std::vector<PlacedForward> const& forwards_;
  std::vector<std::string> const& files_;
  Report& problems_;
  std::unordered_map<std::string, std::size_t> ids_;
  std::unordered_map<std::string, std::size_t> aliases_;
  std::unordered_map<std::string, std::size_t> bound_;
};

}  // namespace

bool addresses_overlap(std::string_view a, std::string_view b) {
  for (Address const& one : bound_addresses(a)) {
    for (Address const& other : bound_addresses(b)) {
      if (overlap(one, other)) return true;
    }
  }
  return false;
}

void check_together(std::vector<PlacedForward> const& forwards,
                    std::vector<std::string> const& files, Report& problems) {
  Together together(forwards, files, problems);
  for (std::size_t index = 0; index < forwards.size(); ++index) together.check(index);
}

}  // namespace kportal::config
