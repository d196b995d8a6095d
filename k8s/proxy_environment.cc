// SPDX-License-Identifier: MIT
#include "k8s/proxy_environment.h"

#include <algorithm>
#include <charconv>
#include <initializer_list>

#include <boost/asio/ip/address.hpp>
#include <fmt/format.h>

namespace kportal::k8s {
namespace {

using boost::asio::ip::address;

std::string lowered(std::string_view text) {
  std::string result(text);
  std::ranges::transform(result, result.begin(), [](char c) {
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  });
  return result;
}

std::string_view trim(std::string_view text) {
  auto const first = text.find_first_not_of(" \t\r\n");
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(" \t\r\n") - first + 1);
}

// An IPv4 address written as an IPv6 one is the same address.
std::optional<address> parse_address(std::string_view text) {
  error_code error;
  address const parsed = boost::asio::ip::make_address(text, error);
  if (error) return std::nullopt;
  if (parsed.is_v6() && parsed.to_v6().is_v4_mapped()) {
    return address(boost::asio::ip::make_address_v4(boost::asio::ip::v4_mapped, parsed.to_v6()));
  }
  return parsed;
}

template <class Octets>
bool same_prefix(Octets const& a, Octets const& b, unsigned bits) {
  for (std::size_t i = 0; i < a.size() && bits > 0; ++i) {
    unsigned const here = std::min(bits, 8U);
    if (((a[i] ^ b[i]) >> (8 - here)) != 0) return false;
    bits -= here;
  }
  return true;
}

struct Range {
  address base;
  unsigned bits = 0;

  bool contains(address const& one) const {
    if (one.is_v4() != base.is_v4()) return false;
    if (one.is_v4()) return same_prefix(one.to_v4().to_bytes(), base.to_v4().to_bytes(), bits);
    return same_prefix(one.to_v6().to_bytes(), base.to_v6().to_bytes(), bits);
  }
};

std::optional<Range> parse_range(std::string_view text) {
  auto const slash = text.find('/');
  if (slash == std::string_view::npos) return std::nullopt;
  auto const base = parse_address(text.substr(0, slash));
  if (!base) return std::nullopt;
  Range range{*base, 0};
  char const* const last = text.data() + text.size();
  auto const [end, problem] = std::from_chars(text.data() + slash + 1, last, range.bits);
  unsigned const most = base->is_v4() ? 32 : 128;
  if (problem != std::errc() || end != last || range.bits > most) return std::nullopt;
  return range;
}

struct HostAndPort {
  std::string_view host;
  std::string_view port;  // empty = any
};

// As Go's SplitHostPort: a host with a colon has brackets, or there is no port.
HostAndPort split(std::string_view entry) {
  bool const bracketed = entry.starts_with('[');
  auto const end = bracketed ? entry.find(']') : entry.find(':');
  if (end == std::string_view::npos) return {entry, ""};
  std::string_view const rest = entry.substr(bracketed ? end + 1 : end);
  bool const one_colon = rest.starts_with(':') && rest.find(':', 1) == std::string_view::npos;
  if (!one_colon) return {entry, ""};
  return {entry.substr(bracketed ? 1 : 0, bracketed ? end - 1 : end), rest.substr(1)};
}

bool name_matches(std::string_view pattern, std::string_view host) {
  if (pattern.starts_with("*.")) pattern.remove_prefix(1);
  if (pattern.starts_with('.')) return host.ends_with(pattern);
  if (!host.ends_with(pattern)) return false;
  return host.size() == pattern.size() || host[host.size() - pattern.size() - 1] == '.';
}

// One entry of NO_PROXY, in lower case.
bool entry_matches(std::string_view entry, std::string_view host, std::optional<address> const& ip,
                   std::string_view port) {
  if (auto const range = parse_range(entry)) return ip && range->contains(*ip);
  auto const [wanted, wanted_port] = split(entry);
  if (wanted.empty() || (!wanted_port.empty() && wanted_port != port)) return false;
  if (auto const wanted_ip = parse_address(wanted)) return ip == wanted_ip;
  return !ip && name_matches(wanted, host);
}

struct Variable {
  std::string name;
  std::string value;
};

// The first that is set and not empty; upper case first, as Go does.
Variable first_set(Environment const& environment, std::initializer_list<char const*> names) {
  for (char const* const name : names) {
    auto value = environment.variable(name);
    if (value && !value->empty()) return {name, std::move(*value)};
  }
  return {};
}

}  // namespace

Result<net::Proxy> parse_proxy_url(std::string_view url) {
  auto const scheme = lowered(url.substr(0, url.find("://")));
  if (scheme != "http" && scheme != "https" && scheme != "socks5") {
    return Error(Errc::kubeconfig, "does not begin with http://, https:// or socks5://");
  }
  return net::parse_proxy(url);
}

Result<std::optional<net::Proxy>> environment_proxy(Server const& server,
                                                    Environment const& environment) {
  auto const [name, value] = server.tls ? first_set(environment, {"HTTPS_PROXY", "https_proxy"})
                                        : first_set(environment, {"HTTP_PROXY", "http_proxy"});
  if (value.empty()) return std::optional<net::Proxy>();
  auto const exempted = first_set(environment, {"NO_PROXY", "no_proxy"});
  if (is_exempt(server, exempted.value)) return std::optional<net::Proxy>();
  bool const has_scheme = value.find("://") != std::string::npos;
  auto proxy = net::parse_proxy(has_scheme ? value : "http://" + value);
  if (!proxy) {
    return Error(Errc::kubeconfig,
                 fmt::format("the environment variable {} {}", name, proxy.error().text));
  }
  return std::optional(std::move(*proxy));
}

bool is_exempt(Server const& server, std::string_view no_proxy) {
  auto const ip = parse_address(server.host);
  if (server.host == "localhost" || (ip && ip->is_loopback())) return true;
  std::string const host = lowered(server.host);
  std::string const port = std::to_string(server.port);
  std::string const list = lowered(no_proxy);
  std::string_view rest = list;
  for (;;) {
    auto const comma = std::min(rest.find(','), rest.size());
    auto const entry = trim(rest.substr(0, comma));
    if (entry == "*") return true;
    if (!entry.empty() && entry_matches(entry, host, ip, port)) return true;
    if (comma == rest.size()) return false;
    rest.remove_prefix(comma + 1);
  }
}

}  // namespace kportal::k8s
