// SPDX-License-Identifier: MIT
#include "k8s/credentials.h"

#include <algorithm>
#include <string_view>

#include <fmt/format.h>

#include "base/base64.h"
#include "base/descriptors.h"

namespace kportal::k8s {
namespace {

std::string_view trim(std::string_view text) {
  constexpr std::string_view kSpace = " \t\r\n\v\f";
  std::size_t const begin = text.find_first_not_of(kSpace);
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(kSpace) - begin + 1);
}

bool fits_header(std::string_view text) {
  return std::ranges::none_of(
      text, [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7F; });
}

// The key of an extra is part of a header's name: what may not stand there is percent-encoded
// (client-go: headerKeyEscape), and so is the percent sign.
std::string escape_header_name(std::string_view key) {
  std::string name;
  for (char const c : key) {
    bool const alnum = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
    if (alnum || std::string_view("!#$&'*+-.^_`|~").find(c) != std::string_view::npos) {
      name += c;
    } else {
      name += fmt::format("%{:02X}", static_cast<unsigned char>(c));
    }
  }
  return name;
}

void add_impersonation(Impersonation const& as, RequestHeaders& headers) {
  if (as.user.empty()) return;
  headers.emplace_back("Impersonate-User", as.user);
  if (!as.uid.empty()) headers.emplace_back("Impersonate-Uid", as.uid);
  for (std::string const& group : as.groups) headers.emplace_back("Impersonate-Group", group);
  for (auto const& [key, values] : as.extra) {
    for (std::string const& value : values) {
      headers.emplace_back("Impersonate-Extra-" + escape_header_name(key), value);
    }
  }
}

}  // namespace

Credentials::Credentials(Auth auth, FileReader read_file)
    : auth_(std::move(auth)), read_file_(std::move(read_file)), token_(auth_.token) {}

Credentials::Credentials(Auth auth, FileReader read_file, net::TlsConfig tls, ExecPlugins& plugins)
    : Credentials(std::move(auth), std::move(read_file)) {
  tls_ = std::move(tls);
  if (auth_.exec) plugin_ = plugins.use(*auth_.exec, auth_.exec_cluster);
}

Credentials::~Credentials() = default;

awaitable<Result<SharedIdentity>> Credentials::identity() {
  if (!plugin_) co_return without_plugin();
  auto const login = co_await (*plugin_)->login(0);
  if (login.has_error()) co_return login.error();
  co_return of_login(**login);
}

awaitable<Result<SharedIdentity>> Credentials::renewed(std::uint64_t refused) {
  if (plugin_) {
    auto const login = co_await (*plugin_)->login(refused);
    if (login.has_error()) co_return login.error();
    co_return of_login(**login);
  }
  bool const newer = refresh(Clock::now()) || generation_ != refused;
  if (!newer) co_return Error(Errc::unauthorized, "there are no other credentials");
  co_return without_plugin();
}

Result<SharedIdentity> Credentials::without_plugin() {
  auto headers = this->headers(Clock::now());
  if (headers.has_error()) return headers.error();
  Identity identity;
  identity.headers = std::move(*headers);
  identity.generation = generation_;
  return std::make_shared<Identity const>(std::move(identity));
}

// Once for each answer of the plugin, so that tunnels with one certificate resume TLS sessions.
Result<SharedIdentity> Credentials::of_login(PluginLogin const& login) {
  if (logged_in_ && logged_in_->generation == login.generation) return logged_in_;
  PluginCredential const& credential = login.credential;
  Identity identity;
  identity.generation = login.generation;
  identity.login_time = login.took;
  if (!credential.token.empty()) {
    identity.headers.emplace_back("Authorization", "Bearer " + credential.token);
  }
  add_impersonation(auth_.impersonation, identity.headers);
  if (!credential.cert_pem.empty()) {
    identity.cert_pem = credential.cert_pem;
    identity.key_pem = credential.key_pem;
    net::TlsConfig config = tls_;
    config.cert_pem = credential.cert_pem;
    config.key_pem = credential.key_pem;
    auto context = net::TlsContext::for_client(config);
    if (context.has_error()) return context.error();
    identity.tls = std::make_shared<net::TlsContext>(std::move(*context));
  }
  logged_in_ = std::make_shared<Identity const>(std::move(identity));
  return logged_in_;
}

Result<RequestHeaders> Credentials::headers(TimePoint now) {
  if (!auth_.token_file.empty() && now >= next_read_) read_token(now);
  if (!auth_.token_file.empty() && token_.empty()) {
    return Error(Errc::unauthorized, fmt::format("tokenFile {} {}", auth_.token_file, problem_));
  }
  RequestHeaders headers;
  if (!token_.empty()) {
    headers.emplace_back("Authorization", "Bearer " + token_);
  } else if (!auth_.username.empty()) {
    std::string const pair = auth_.username + ":" + auth_.password;
    headers.emplace_back("Authorization", "Basic " + base64(pair));
  }
  add_impersonation(auth_.impersonation, headers);
  return headers;
}

bool Credentials::refresh(TimePoint now) {
  return !auth_.token_file.empty() && read_token(now);
}

bool Credentials::read_token(TimePoint now) {
  auto const text = read_file_(auth_.token_file, kMaxTokenFileSize);
  std::string_view const token = text ? trim(*text) : std::string_view();
  problem_.clear();
  if (!text) {
    problem_ = "cannot be read: " + cause_of(text.error());
  } else if (token.empty()) {
    problem_ = "is empty";
  } else if (!fits_header(token)) {
    problem_ = "holds more than one line";
  }
  // Without a token there is nothing to fall back on, so the next request tries again.
  if (!token_.empty() || problem_.empty()) next_read_ = now + kTokenFilePeriod;
  if (!problem_.empty() || token == token_) return false;
  token_ = token;
  ++generation_;
  return true;
}

}  // namespace kportal::k8s
