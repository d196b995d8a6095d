// SPDX-License-Identifier: MIT
#include "k8s/exec_plugin_format.h"

#include <algorithm>
#include <charconv>
#include <cstring>
#include <utility>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "base/base64.h"
#include "base/descriptors.h"

namespace kportal::k8s {
namespace {

using Json = nlohmann::ordered_json;

// What of others' words goes into a message.
constexpr std::size_t kMaxHint = 1000;
constexpr std::size_t kMaxErrorText = 600;
constexpr std::size_t kMaxErrorLines = 4;
constexpr std::size_t kMaxShownPath = 400;
constexpr std::size_t kMaxShownVersion = 80;

constexpr std::chrono::sys_seconds kLatest =
    std::chrono::sys_days(std::chrono::year(2200) / std::chrono::January / 1);

std::string_view trim(std::string_view text) {
  constexpr std::string_view kSpace = " \t\r\n\v\f";
  std::size_t const begin = text.find_first_not_of(kSpace);
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(kSpace) - begin + 1);
}

// Without the colours and cursor movements of terminals: ESC [ parameters letter, or ESC and one
// character.
std::string without_escapes(std::string_view text) {
  std::string plain;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '\x1b') {
      plain += text[i];
      continue;
    }
    if (++i >= text.size() || text[i] != '[') continue;
    do ++i;
    while (i < text.size() && (text[i] < '@' || text[i] > '~'));
  }
  return plain;
}

// The lines that are not empty, on one; of many the last.
std::string one_line(std::string_view text, std::size_t max_lines, std::size_t max_size) {
  std::string const plain = without_escapes(text);
  std::vector<std::string_view> lines;
  std::string_view rest = plain;
  while (!rest.empty()) {
    // A carriage return alone is how a progress bar draws itself again.
    std::size_t const end = std::min(rest.find_first_of("\r\n"), rest.size());
    if (auto const line = trim(rest.substr(0, end)); !line.empty()) lines.push_back(line);
    rest.remove_prefix(std::min(end + 1, rest.size()));
  }
  if (lines.size() > max_lines)
    lines.erase(lines.begin(), lines.end() - static_cast<int>(max_lines));
  std::string all = printable(fmt::format("{}", fmt::join(lines, "; ")).substr(0, max_size));
  while (all.ends_with('.')) all.pop_back();
  return all;
}

Error failed(ExecConfig const& config, std::string_view what) {
  return {Errc::auth_plugin, fmt::format("login plugin {} {}", plugin_name(config), what)};
}

// With the last of what it wrote to standard error.
Error failed(ExecConfig const& config, std::string_view what, ChildEnd const& end) {
  if (end.errors_shown) {
    return failed(config, fmt::format("{}; what it said is on the terminal", what));
  }
  std::string const said = one_line(end.errors, kMaxErrorLines, kMaxErrorText);
  if (said.empty()) {
    return failed(config, fmt::format("{}, and says nothing on standard error; kubectl with the "
                                      "same context runs it too",
                                      what));
  }
  return failed(config, fmt::format("{}: {}", what, said));
}

std::string seconds_text(Duration time) {
  return fmt::format("{:g}s", std::chrono::duration<double>(time).count());
}

std::optional<Error> unhappy_end(ExecConfig const& config, ChildEnd const& end,
                                 Duration time_limit) {
  switch (end.how) {
    case ChildEnd::How::exited:
      if (end.number == 0) return std::nullopt;
      return failed(config, fmt::format("ended with exit code {}", end.number), end);
    case ChildEnd::How::signalled: {
      char const* const name = ::strsignal(end.number);
      return failed(config, fmt::format("was ended by signal {} ({})", end.number, name), end);
    }
    case ChildEnd::How::timed_out:
      return failed(config,
                    fmt::format("did not end within {} (reliability.authTimeout); if it waits for "
                                "somebody to log in, do that once by hand",
                                seconds_text(time_limit)),
                    end);
    case ChildEnd::How::too_much_output:
      return failed(config, "wrote more than any login needs, and was ended", end);
  }
  return std::nullopt;
}

// A string member; nothing if it is absent, null or of another kind.
std::string text_of(Json const& parent, char const* key) {
  auto const found = parent.find(key);
  return found == parent.end() || !found->is_string() ? std::string() : found->get<std::string>();
}

bool fits_header(std::string_view text) {
  return std::ranges::none_of(
      text, [](char c) { return static_cast<unsigned char>(c) <= 0x20 || c == 0x7F; });
}

Result<PluginCredential> read_status(ExecConfig const& config, Json const& status, WallTime now) {
  PluginCredential result;
  result.token = text_of(status, "token");
  result.cert_pem = text_of(status, "clientCertificateData");
  result.key_pem = text_of(status, "clientKeyData");
  if (result.cert_pem.empty() != result.key_pem.empty()) {
    return failed(config, fmt::format("gave a client {} without its {}",
                                      result.key_pem.empty() ? "certificate" : "key",
                                      result.key_pem.empty() ? "key" : "certificate"));
  }
  if (result.token.empty() && result.cert_pem.empty()) {
    return failed(config, "gave neither a token nor a client certificate");
  }
  if (!fits_header(result.token)) {
    return failed(config, "gave a token with spaces, line breaks or control characters in it");
  }
  auto const expires = status.find("expirationTimestamp");
  if (expires == status.end() || expires->is_null()) return result;
  result.expires = parse_timestamp(text_of(status, "expirationTimestamp"));
  if (!result.expires) {
    return failed(config, "gave an expirationTimestamp that is none (RFC 3339)");
  }
  if (*result.expires <= now) {
    return failed(config,
                  fmt::format("gave a credential that expired already, at {}; here it is {}: does "
                              "this machine's clock go wrong?",
                              utc_timestamp(*result.expires), utc_timestamp(now)));
  }
  return result;
}

// Digits only, as many as there are.
std::optional<int> number(std::string_view text) {
  int value = 0;
  auto const [end, failure] = std::from_chars(text.data(), text.data() + text.size(), value);
  bool const digits = std::ranges::all_of(text, [](char c) { return c >= '0' && c <= '9'; });
  if (text.empty() || !digits || failure != std::errc() || end != text.data() + text.size()) {
    return std::nullopt;
  }
  return value;
}

// "Z", "+01:30"; in minutes east of Greenwich.
std::optional<int> parse_offset(std::string_view text) {
  if (text == "Z" || text == "z") return 0;
  if (text.size() != 6 || text[3] != ':' || (text[0] != '+' && text[0] != '-')) return std::nullopt;
  auto const hours = number(text.substr(1, 2));
  auto const minutes = number(text.substr(4, 2));
  if (!hours || !minutes || *hours > 23 || *minutes > 59) return std::nullopt;
  int const all = *hours * 60 + *minutes;
  return text[0] == '-' ? -all : all;
}

// Of this machine, and it passes; the plugin itself may be as good as ever.
bool is_shortage(error_code why) {
  namespace errc = boost::system::errc;
  return lacks_descriptors(why) || why == errc::not_enough_memory ||
         why == errc::resource_unavailable_try_again;
}

}  // namespace

std::string plugin_name(ExecConfig const& config) {
  std::string_view const name = config.command;
  return printable(name.substr(name.rfind('/') + 1).substr(0, kMaxShownVersion));
}

std::string exec_info(ExecConfig const& config, std::optional<ExecClusterInfo> const& cluster,
                      bool interactive) {
  Json spec{{"interactive", interactive}};
  if (cluster) {
    Json about{{"server", cluster->server}};
    if (!cluster->tls_server_name.empty()) about["tls-server-name"] = cluster->tls_server_name;
    if (cluster->insecure_skip_tls_verify) about["insecure-skip-tls-verify"] = true;
    if (!cluster->ca_pem.empty()) about["certificate-authority-data"] = base64(cluster->ca_pem);
    if (!cluster->proxy_url.empty()) about["proxy-url"] = cluster->proxy_url;
    if (cluster->disable_compression) about["disable-compression"] = true;
    // Null is what client-go sends where there is no extension.
    about["config"] = Json::parse(cluster->config, nullptr, false);
    if (about["config"].is_discarded()) about["config"] = nullptr;
    spec["cluster"] = std::move(about);
  }
  Json const info{
      {"kind", "ExecCredential"}, {"apiVersion", config.api_version}, {"spec", std::move(spec)}};
  return info.dump(-1, ' ', false, Json::error_handler_t::replace);
}

Result<PluginCredential> read_plugin_answer(ExecConfig const& config, ChildEnd const& end,
                                            Duration time_limit, WallTime now) {
  if (auto error = unhappy_end(config, end, time_limit)) return *std::move(error);
  Json const answer = Json::parse(end.output, nullptr, false);
  if (!answer.is_object() || text_of(answer, "kind") != "ExecCredential") {
    return failed(config, end.output.empty() ? "printed nothing, where an ExecCredential was asked "
                                               "for"
                                             : "printed something else than an ExecCredential");
  }
  std::string const version = text_of(answer, "apiVersion");
  if (version != config.api_version) {
    return failed(config,
                  fmt::format("answered in apiVersion \"{}\", but the kubeconfig says {}: "
                              "write there what the plugin speaks",
                              printable(version.substr(0, kMaxShownVersion)), config.api_version));
  }
  auto const status = answer.find("status");
  if (status == answer.end() || !status->is_object()) {
    return failed(config, "answered without a status, thus without a credential");
  }
  return read_status(config, *status, now);
}

Error plugin_not_started(ExecConfig const& config, error_code why,
                         std::vector<std::string> const& searched) {
  namespace errc = boost::system::errc;
  if (why == errc::permission_denied) {
    return failed(config, fmt::format("is not executable: {}; chmod +x it",
                                      printable(config.command.substr(0, kMaxShownPath))));
  }
  if (why == errc::executable_format_error) {
    return failed(config, "is no program for this machine, or a script whose first line is no #!");
  }
  if (why != errc::no_such_file_or_directory) {
    Error error = failed(config, fmt::format("could not be started: {}", cause_of(why)));
    if (is_shortage(why)) error.code = Errc::local;
    return error;
  }
  std::string hint = one_line(config.install_hint, kMaxHint, kMaxHint);
  if (hint.empty()) hint = "install it, or write its whole path into the kubeconfig";
  if (searched.empty()) {
    // A script whose interpreter is missing gives the same.
    return failed(config, fmt::format("is not there, or its interpreter is not: {}; {}",
                                      printable(config.command.substr(0, kMaxShownPath)), hint));
  }
  std::string where;
  for (std::string const& path : searched) {
    if (!where.empty()) where += ", and of the login shell: ";
    where += printable(path.substr(0, kMaxShownPath));
  }
  return failed(config, fmt::format("is not on PATH: {} (PATH is {})", hint, where));
}

std::string plugin_is_slow(ExecConfig const& config, Duration since, Duration time_limit,
                           std::string_view errors) {
  std::string const said = one_line(errors, kMaxErrorLines, kMaxErrorText);
  return fmt::format("login plugin {} has run for {} and may for {}{}{}", plugin_name(config),
                     seconds_text(since), seconds_text(time_limit), said.empty() ? "" : ": ", said);
}

std::optional<WallTime> parse_timestamp(std::string_view text) {
  // YYYY-MM-DDTHH:MM:SS[.fraction]OFFSET
  constexpr std::size_t kFraction = 19;
  if (text.size() <= kFraction || text[4] != '-' || text[7] != '-' || text[13] != ':' ||
      text[16] != ':' || (text[10] != 'T' && text[10] != 't')) {
    return std::nullopt;
  }
  auto const year = number(text.substr(0, 4));
  auto const month = number(text.substr(5, 2));
  auto const day = number(text.substr(8, 2));
  auto const hour = number(text.substr(11, 2));
  auto const minute = number(text.substr(14, 2));
  auto const second = number(text.substr(17, 2));
  std::size_t end = kFraction;
  if (text[kFraction] == '.') end = std::min(text.find_first_not_of("0123456789", 20), text.size());
  auto const offset = parse_offset(text.substr(end));
  if (!year || !month || !day || !hour || !minute || !second || !offset) return std::nullopt;
  std::chrono::year_month_day const date{std::chrono::year(*year),
                                         std::chrono::month(static_cast<unsigned>(*month)),
                                         std::chrono::day(static_cast<unsigned>(*day))};
  if (!date.ok() || *hour > 23 || *minute > 59 || *second > 60) return std::nullopt;
  using std::chrono::hours, std::chrono::minutes, std::chrono::seconds;
  std::chrono::sys_seconds const time =
      std::chrono::sys_days(date) + hours(*hour) + minutes(*minute - *offset) + seconds(*second);
  // "Never" is often written as the year 9999, which nanoseconds do not reach.
  return std::clamp(time, std::chrono::sys_seconds(), kLatest);
}

}  // namespace kportal::k8s
