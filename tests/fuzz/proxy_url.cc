// SPDX-License-Identifier: MIT
// Fuzzer of the URLs of proxies, of the kubeconfig and the environment, and of NO_PROXY.
#include "k8s/proxy_environment.h"
#include "tests/fuzz/fuzz.h"

namespace kportal::k8s {
namespace {

using fuzz::require;

void check(net::Proxy const& proxy) {
  require(!proxy.host.empty() && proxy.port != 0 && fuzz::is_one_clean_line(proxy.host));
  require(net::place(proxy).find(proxy.host) != std::string::npos);
}

// The URL of a login that goes on anyhow is not shown.
void check_secret(std::string const& rest) {
  constexpr std::string_view kSecret = "Zq9XsEcret";
  for (std::string const start : {"http://me:Zq9XsEcret", "socks5://Zq9XsEcret@", "Zq9XsEcret@"}) {
    auto const proxy = parse_proxy_url(start + rest);
    if (!proxy) require(proxy.error().text.find(kSecret) == std::string::npos);
  }
}

void run(fuzz::Input input) {
  std::string const url(input.line());
  std::string const no_proxy(input.line());
  std::string const host(input.line());
  for (auto const& proxy : {net::parse_proxy(url), parse_proxy_url(url)}) {
    if (proxy) {
      check(*proxy);
    } else {
      require(proxy.error().code == Errc::kubeconfig);
      require(fuzz::is_one_clean_line(proxy.error().text));
    }
  }
  check_secret(url);
  Server const server{true, host, 6443, ""};
  bool const exempt = is_exempt(server, no_proxy);
  Environment environment;
  environment.variable = [&](std::string const& name) -> std::optional<std::string> {
    if (name == "HTTPS_PROXY") return url;
    if (name == "NO_PROXY") return no_proxy;
    return std::nullopt;
  };
  auto const proxy = environment_proxy(server, environment);
  if (!proxy) return;
  require(!*proxy || !exempt);
  if (*proxy) check(**proxy);
}

}  // namespace
}  // namespace kportal::k8s

extern "C" int LLVMFuzzerTestOneInput(std::uint8_t const* data, std::size_t size) {
  kportal::fuzz::Budget const budget;
  kportal::k8s::run(kportal::fuzz::Input(data, size));
  return 0;
}
