// SPDX-License-Identifier: MIT
// Fuzzer of what a login plugin says, and of what it is told.
#include <nlohmann/json.hpp>

#include "k8s/exec_plugin_format.h"
#include "tests/fuzz/fuzz.h"

namespace kportal::k8s {
namespace {

using namespace std::chrono_literals;
using fuzz::require;

WallTime const kNow = std::chrono::sys_days(std::chrono::year(2026) / 11 / 23);

ExecConfig config() {
  ExecConfig config;
  config.api_version = "client.authentication.k8s.io/v1";
  config.command = "/opt/bin/login";
  return config;
}

void check_answer(fuzz::Input input) {
  ChildEnd end;
  std::uint8_t const choice = input.byte();
  end.how = static_cast<ChildEnd::How>(choice % 4);
  if (choice >= 32) end.how = ChildEnd::How::exited;
  end.number = choice >= 32 ? 0 : input.byte() % 65;
  if (choice % 8 != 0) end.errors = input.line();
  end.output = input.rest();
  auto const answer = read_plugin_answer(config(), end, 60s, kNow);
  if (!answer) {
    require(answer.error().code == Errc::auth_plugin);
    require(answer.error().text.starts_with("login plugin login "));
    require(fuzz::is_one_clean_line(answer.error().text) && answer.error().text.size() < 8192);
    return;
  }
  require(nlohmann::json::accept(end.output));
  require(!answer->token.empty() || !answer->cert_pem.empty());
  require(answer->cert_pem.empty() == answer->key_pem.empty());
  require(answer->token.find_first_of(" \t\r\n") == std::string::npos);
  require(!answer->expires || *answer->expires > kNow);
}

void check_words(fuzz::Input input) {
  ExecConfig hostile = config();
  hostile.command = input.line();
  hostile.install_hint = input.line();
  ExecClusterInfo about;
  about.server = input.line();
  about.tls_server_name = input.line();
  about.ca_pem = input.line();
  about.config = input.line();
  std::string const errors(input.line());
  auto const told = exec_info(hostile, about, true);
  require(nlohmann::json::accept(told) && told.find('\n') == std::string::npos);
  namespace errc = boost::system::errc;
  for (auto const code : {errc::no_such_file_or_directory, errc::permission_denied}) {
    auto const error = plugin_not_started(hostile, make_error_code(code), {errors});
    require(fuzz::is_one_clean_line(error.text) && error.text.size() < 16 * 1024);
  }
  require(fuzz::is_one_clean_line(plugin_is_slow(hostile, 5s, 60s, errors)));
}

void check_timestamp(std::string_view text) {
  auto const time = parse_timestamp(text);
  if (!time) return;
  // Without its fraction, which counts for nothing, it is the same time written anew.
  auto const again = parse_timestamp(utc_timestamp(*time));
  require(again == time);
}

}  // namespace
}  // namespace kportal::k8s

extern "C" int LLVMFuzzerTestOneInput(std::uint8_t const* data, std::size_t size) {
  using namespace kportal;
  fuzz::Budget const budget;
  fuzz::Input input(data, size);
  std::uint8_t const choice = input.byte();
  if (choice % 3 == 0) k8s::check_answer(input);
  if (choice % 3 == 1) k8s::check_words(input);
  if (choice % 3 == 2) k8s::check_timestamp(input.rest());
  return 0;
}
