// SPDX-License-Identifier: MIT
#include "net/proxy.h"

#include <algorithm>
#include <charconv>
#include <optional>

#include <boost/asio/ip/address_v6.hpp>
#include <fmt/format.h>

#include "net/tcp.h"

namespace kportal::net {
namespace {

constexpr std::size_t kMaxHostName = 253;

Error bad(std::string_view why) {
  return {Errc::kubeconfig,
          fmt::format("{}: write it as http://, https:// or socks5://HOST:PORT", why)};
}

char lower(char c) {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
}

int hex_digit(char c) {
  c = lower(c);
  if (c >= '0' && c <= '9') return c - '0';
  return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

// Nothing for a percent sign without two digits, and for a zero byte, which nobody could send.
std::optional<std::string> percent_decoded(std::string_view text) {
  std::string decoded;
  for (std::size_t i = 0; i < text.size(); ++i) {
    char c = text[i];
    if (c == '%') {
      int const high = i + 2 < text.size() ? hex_digit(text[i + 1]) : -1;
      int const low = i + 2 < text.size() ? hex_digit(text[i + 2]) : -1;
      if (high < 0 || low < 0) return std::nullopt;
      c = static_cast<char>(high * 16 + low);
      i += 2;
    }
    if (c == '\0') return std::nullopt;
    decoded += c;
  }
  return decoded;
}

bool is_name(std::string_view host) {
  return !host.empty() && host.size() <= kMaxHostName && std::ranges::all_of(host, [](char c) {
    char const small = lower(c);
    return (small >= 'a' && small <= 'z') || (c >= '0' && c <= '9') || c == '.' || c == '-' ||
           c == '_';
  });
}

bool is_ipv6(std::string const& host) {
  error_code error;
  boost::asio::ip::make_address_v6(host, error);
  return !error;
}

struct Scheme {
  std::string_view name;
  Proxy::Kind kind;
  std::uint16_t port;
};
constexpr Scheme kSchemes[] = {{"http", Proxy::Kind::http, 80},
                               {"https", Proxy::Kind::https, 443},
                               {"socks5", Proxy::Kind::socks5, 1080},
                               {"socks5h", Proxy::Kind::socks5, 1080}};

Result<void> read_login(std::string_view text, Proxy& proxy) {
  std::size_t const colon = std::min(text.find(':'), text.size());
  auto user = percent_decoded(text.substr(0, colon));
  auto password = percent_decoded(text.substr(std::min(colon + 1, text.size())));
  if (!user || !password) {
    return Error(Errc::kubeconfig,
                 "has a percent sign without two hexadecimal digits in its user or password");
  }
  proxy.has_login = true;
  proxy.user = std::move(*user);
  proxy.password = std::move(*password);
  return {};
}

Result<void> read_host_and_port(std::string_view text, Proxy& proxy) {
  bool const bracketed = text.starts_with('[');
  std::size_t const end = bracketed ? text.find(']') : std::min(text.find(':'), text.size());
  if (end == std::string_view::npos) return bad("has no valid host");
  proxy.host = text.substr(bracketed ? 1 : 0, bracketed ? end - 1 : end);
  if (!(bracketed ? is_ipv6(proxy.host) : is_name(proxy.host))) return bad("has no valid host");
  std::string_view const rest = text.substr(bracketed ? end + 1 : end);
  if (rest.empty() || rest == ":") return {};
  std::uint16_t port = 0;
  char const* const last = rest.data() + rest.size();
  auto const [stop, problem] = std::from_chars(rest.data() + 1, last, port);
  if (rest.front() != ':' || problem != std::errc() || stop != last || port == 0) {
    return bad("has no valid port");
  }
  proxy.port = port;
  return {};
}

}  // namespace

std::string place(Proxy const& proxy) {
  return host_port(proxy.host, proxy.port);
}

std::string_view scheme(Proxy::Kind kind) {
  return kSchemes[static_cast<std::size_t>(kind)].name;
}

Result<Proxy> parse_proxy(std::string_view url) {
  std::size_t const colon = url.find("://");
  if (colon == std::string_view::npos) return bad("is no URL of a proxy");
  std::string name(url.substr(0, colon));
  std::ranges::transform(name, name.begin(), lower);
  auto const* const known = std::ranges::find(kSchemes, name, &Scheme::name);
  if (known == std::end(kSchemes)) return bad("is of a kind that is not possible");
  Proxy proxy;
  proxy.kind = known->kind;
  proxy.port = known->port;
  url.remove_prefix(colon + 3);
  url = url.substr(0, url.find_first_of("/?#"));
  if (std::size_t const at = url.rfind('@'); at != std::string_view::npos) {
    auto const login = read_login(url.substr(0, at), proxy);
    if (!login) return login.error();
    url.remove_prefix(at + 1);
  }
  auto const read = read_host_and_port(url, proxy);
  if (!read) return read.error();
  return proxy;
}

}  // namespace kportal::net
