// SPDX-License-Identifier: MIT
// Fuzzer of what is said to a proxy: its answers in any pieces, to logins and targets of any bytes.
#include "net/proxy_handshake.h"

#include "tests/fuzz/fuzz.h"

namespace kportal::net {
namespace {

using fuzz::require;

struct Talk {
  std::string said;
  std::string problem;
  std::size_t used = 0;
  bool complete = false;
  bool operator==(Talk const&) const = default;
};

Talk talk(ProxyHandshake& handshake, std::vector<std::string> const& answer) {
  Talk result;
  result.said = handshake.take_output();
  for (std::string const& piece : answer) {
    if (handshake.complete()) break;
    auto const used = handshake.feed(as_bytes(piece));
    if (!used) {
      require(used.error().code == Errc::network && fuzz::is_one_clean_line(used.error().text));
      result.problem = "failed";
      return result;
    }
    require(*used <= piece.size() && (*used == piece.size() || handshake.complete()));
    result.used += *used;
    result.said += handshake.take_output();
  }
  result.complete = handshake.complete();
  return result;
}

void run(fuzz::Input input) {
  std::uint8_t const choice = input.byte();
  Proxy proxy;
  proxy.kind = choice % 2 == 0 ? Proxy::Kind::http : Proxy::Kind::socks5;
  proxy.host = "proxy.test";
  proxy.port = 3128;
  proxy.has_login = (choice & 2) != 0;
  proxy.user = input.line();
  proxy.password = input.line();
  std::string const host(input.line());
  std::string const answer(input.rest());
  auto const handshake = ProxyHandshake::begin(proxy, host, 6443);
  if (!handshake) {
    require(handshake.error().code == Errc::kubeconfig);
    return;
  }
  Talk const whole = talk(**handshake, {answer});
  // A head has no line that the login or the target put there.
  if (proxy.kind == Proxy::Kind::http) {
    require(whole.said.find("\r\n\r\n") == whole.said.size() - 4);
    require(whole.said.starts_with("CONNECT "));
  }
  for (std::size_t const most : {1U, 4U}) {
    auto const again = ProxyHandshake::begin(proxy, host, 6443).value();
    Talk const cut = talk(*again, fuzz::pieces(answer, most));
    require(cut.complete == whole.complete && cut.problem == whole.problem);
    require(cut.used == whole.used || !whole.problem.empty());
    // What is said before a failure may come at once or not at all.
    require(cut.said == whole.said || !whole.problem.empty());
  }
}

}  // namespace
}  // namespace kportal::net

extern "C" int LLVMFuzzerTestOneInput(std::uint8_t const* data, std::size_t size) {
  kportal::fuzz::Budget const budget;
  kportal::net::run(kportal::fuzz::Input(data, size));
  return 0;
}
