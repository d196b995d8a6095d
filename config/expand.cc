// SPDX-License-Identifier: MIT
#include "config/expand.h"

#include <cstdlib>
#include <utility>

#include <fmt/format.h>

#include "config/problem.h"

namespace kportal::config {
namespace {

bool is_name(std::string_view name) {
  if (name.empty() || (name.front() >= '0' && name.front() <= '9')) return false;
  for (char const c : name) {
    bool const letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
    if (!letter && !(c >= '0' && c <= '9') && c != '_') return false;
  }
  return true;
}

// The text between `${` and `}`. A failure's message is left in `message`.
std::string value_of(std::string_view inside, Environment const& environment,
                     std::string& message) {
  std::size_t const colon = inside.find(":-");
  std::string const name(inside.substr(0, colon));
  if (!is_name(name) || inside.find("${") != std::string_view::npos) {
    message = fmt::format("{} is neither ${{VAR}} nor ${{VAR:-default}}",
                          in_quotes(fmt::format("${{{}}}", inside)));
    return {};
  }
  std::optional<std::string> value = environment(name);
  if (colon != std::string_view::npos && (!value || value->empty())) {
    return std::string(inside.substr(colon + 2));
  }
  if (!value) {
    message = fmt::format(
        "the environment variable {0} is not set; set it or write ${{{0}:-default}}", name);
    return {};
  }
  return *std::move(value);
}

}  // namespace

Environment process_environment() {
  return [](std::string const& name) -> std::optional<std::string> {
    char const* const value = std::getenv(name.c_str());
    if (value == nullptr) return {};
    return std::string(value);
  };
}

Expanded expand(std::string_view text, Environment const& environment, std::size_t limit) {
  Expanded out;
  std::size_t from = 0;
  std::size_t last = std::string_view::npos;  // the `${` seen last
  while (from < text.size()) {
    std::size_t const at = text.find("${", from);
    out.text += text.substr(from, at == std::string_view::npos ? at : at - from);
    if (at == std::string_view::npos) break;
    last = at;
    if (at > from && text[at - 1] == '$') {  // $${ is a literal ${
      out.text += '{';
      from = at + 2;
      continue;
    }
    std::size_t const end = text.find('}', at);
    if (end == std::string_view::npos) {
      out.failures.push_back({at, "${ without }; write $${ for a literal ${"});
      break;
    }
    std::string message;
    out.text += value_of(text.substr(at + 2, end - at - 2), environment, message);
    if (!message.empty()) out.failures.push_back({at, std::move(message)});
    if (out.text.size() > limit) break;
    from = end + 1;
  }
  bool const at_last = !out.failures.empty() && out.failures.back().offset == last;
  if (last != std::string_view::npos && out.text.size() > limit && !at_last) {
    out.failures.push_back({last, "the values of environment variables are too long"});
  }
  return out;
}

}  // namespace kportal::config
