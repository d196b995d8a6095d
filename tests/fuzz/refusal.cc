// SPDX-License-Identifier: MIT
// Fuzzer of what a server says where it says no: the answer to a request or an upgrade, how long to
// wait, and what people are told of it.
#include "k8s/dialer.h"
#include "k8s/rest_client.h"
#include "tests/fuzz/fuzz.h"

namespace kportal::k8s {
namespace {

using fuzz::require;

constexpr std::size_t kMaxWords = 4096;

void check(Error const& error) {
  require(error.code != Errc() && !error.text.empty());
  require(fuzz::is_one_clean_line(error.text) && error.text.size() <= kMaxWords);
  require(error.retry_after.count() >= 0 && error.retry_after <= std::chrono::hours(24));
}

void check_encoding(std::string_view text) {
  std::string const encoded = percent_encode(text);
  require(encoded.find_first_of(" &=?#/\r\n+") == std::string::npos);
  std::string decoded;
  for (std::size_t at = 0; at < encoded.size(); ++at) {
    if (encoded[at] != '%') {
      decoded += encoded[at];
      continue;
    }
    decoded += static_cast<char>(std::stoi(encoded.substr(at + 1, 2), nullptr, 16));
    at += 2;
  }
  require(decoded == text);
}

void run(fuzz::Input input) {
  int const status = static_cast<int>(100 + input.number(2) % 500);
  std::string const retry_after(input.line());
  std::string const location(input.line());
  std::string const body(input.rest());
  auto const now = std::chrono::sys_days(std::chrono::year(2026) / 11 / 23);
  auto const wait = asked_wait(retry_after, now);
  require(wait.count() >= 0);
  if (status >= 300) check(status_error(status, retry_after, body));
  net::ResponseHead head;
  head.status = status;
  head.headers.add("Retry-After", retry_after);
  head.headers.add("Location", location);
  Error const error = upgrade_error(head, body);
  check(error);
  require(!should_fall_back(head, body) || status != 429);
  Error const both = refused_by_both(error, status_error(403, retry_after, body), "default");
  require(fuzz::is_one_clean_line(both.text) && both.text.size() <= 3 * kMaxWords);
  check_encoding(body);
}

}  // namespace
}  // namespace kportal::k8s

extern "C" int LLVMFuzzerTestOneInput(std::uint8_t const* data, std::size_t size) {
  kportal::fuzz::Budget const budget;
  kportal::k8s::run(kportal::fuzz::Input(data, size));
  return 0;
}
