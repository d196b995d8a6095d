// SPDX-License-Identifier: MIT
#include "net/proxy_handshake.h"

#include <utility>

#include <boost/asio/ip/address.hpp>
#include <fmt/format.h>

#include "base/base64.h"
#include "base/printable.h"
#include "base/version.h"
#include "net/http_upgrade.h"
#include "net/tcp.h"

namespace kportal::net {
namespace {

// All lengths of SOCKS5 are one byte.
constexpr std::size_t kMaxSocksText = 255;

Error login_missing(Proxy const& proxy, std::string_view what) {
  return {Errc::network,
          fmt::format("{}: {}", what,
                      proxy.has_login ? "it does not accept the user and password in its URL"
                                      : fmt::format("it wants a login: write its URL as "
                                                    "{}://USER:PASSWORD@HOST:PORT",
                                                    scheme(proxy.kind)))};
}

class HttpConnect final : public ProxyHandshake {
 public:
  HttpConnect(Proxy proxy, std::string target)
      : proxy_(std::move(proxy)), target_(std::move(target)) {}

  Result<void> ask() {
    RequestHead head;
    head.method = "CONNECT";
    head.target = target_;
    head.headers.add("Host", target_);
    head.headers.add("User-Agent", kUserAgent);
    if (proxy_.has_login) {
      auto const login = base64(proxy_.user + ":" + proxy_.password);
      head.headers.add("Proxy-Authorization", "Basic " + login);
    }
    auto encoded = encode(head);
    if (!encoded) return Error(Errc::kubeconfig, "this server's name cannot be told to a proxy");
    output_ = std::move(*encoded);
    return {};
  }

  // A 2xx has no body, whatever its headers say (RFC 9110 9.3.6).
  Result<std::size_t> feed(Bytes bytes) override {
    auto const used = parser_.feed(bytes);
    if (!used) {
      return Error(
          Errc::network,
          fmt::format("the proxy's answer to CONNECT is not HTTP ({}): is it an HTTP proxy?",
                      used.error().text));
    }
    if (!parser_.complete()) return *used;
    int const status = parser_.head().status;
    if (status < 200 || status > 299) return connect_refused(proxy_, target_, status);
    complete_ = true;
    return *used;
  }

 private:
  Proxy proxy_;
  std::string target_;
  ResponseParser parser_;
};

class Socks5 final : public ProxyHandshake {
 public:
  Socks5(Proxy proxy, std::string host, std::uint16_t port)
      : proxy_(std::move(proxy)), host_(std::move(host)), port_(port) {}

  Result<void> ask() {
    if (proxy_.has_login && proxy_.user.empty()) {
      return Error(Errc::kubeconfig, "a SOCKS5 login needs a user name");
    }
    if (proxy_.user.size() > kMaxSocksText || proxy_.password.size() > kMaxSocksText) {
      return Error(Errc::kubeconfig, "user and password may have 255 bytes each in SOCKS5");
    }
    if (host_.empty() || host_.size() > kMaxSocksText) {
      return Error(Errc::kubeconfig, "SOCKS5 can ask for names of 1 to 255 bytes only");
    }
    output_ =
        proxy_.has_login ? std::string("\x05\x02\x00\x02", 4) : std::string("\x05\x01\x00", 3);
    return {};
  }

  Result<std::size_t> feed(Bytes bytes) override {
    std::size_t used = 0;
    while (used < bytes.size() && !complete_) {
      reply_ += static_cast<char>(bytes[used++]);
      auto const judged = judge();
      if (!judged) return judged.error();
    }
    return used;
  }

 private:
  enum class Step { method, login, connect };

  int at(std::size_t index) const { return static_cast<unsigned char>(reply_[index]); }

  // Looks at what has come of a message at each of its bytes.
  Result<void> judge() {
    int const version = step_ == Step::login ? 1 : 5;
    if (at(0) != version) return nonsense("does not speak SOCKS5");
    if (step_ == Step::connect) return judge_connect();
    if (reply_.size() < 2) return {};
    int const answer = at(1);
    reply_.clear();
    if (step_ == Step::login) {
      if (answer != 0) return socks5_login_refused(proxy_);
      ask_connect();
      return {};
    }
    if (answer == 0xff) return socks5_login_refused(proxy_);
    bool const offered = answer == 0 || (answer == 2 && proxy_.has_login);
    if (!offered) return nonsense("chose a login that was not offered");
    if (answer == 2) {
      ask_login();
    } else {
      ask_connect();
    }
    return {};
  }

  // VER REP RSV ATYP ADDR PORT; the address is where the proxy's own end is.
  Result<void> judge_connect() {
    if (reply_.size() >= 2 && at(1) != 0) return socks5_refused(host_port(host_, port_), at(1));
    if (reply_.size() < 5) return {};
    std::size_t address = 0;
    switch (at(3)) {
      case 1:
        address = 4;
        break;
      case 3:
        address = 1 + static_cast<std::size_t>(at(4));
        break;
      case 4:
        address = 16;
        break;
      default:
        return nonsense("answers with an address of an unknown kind");
    }
    complete_ = reply_.size() == 4 + address + 2;
    return {};
  }

  void ask_login() {
    step_ = Step::login;
    output_ += '\x01';
    append_text(proxy_.user);
    append_text(proxy_.password);
  }

  void ask_connect() {
    step_ = Step::connect;
    output_.append("\x05\x01\x00", 3);
    error_code error;
    auto const address = boost::asio::ip::make_address(host_, error);
    if (error) {
      output_ += '\x03';
      append_text(host_);
    } else if (address.is_v4()) {
      append_address('\x01', address.to_v4().to_bytes());
    } else {
      append_address('\x04', address.to_v6().to_bytes());
    }
    output_ += static_cast<char>(port_ >> 8);
    output_ += static_cast<char>(port_ & 0xff);
  }

  void append_text(std::string const& text) {
    output_ += static_cast<char>(text.size());
    output_ += text;
  }
  template <class Octets>
  void append_address(char kind, Octets const& octets) {
    output_ += kind;
    for (unsigned char const octet : octets) output_ += static_cast<char>(octet);
  }

  static Error nonsense(std::string_view what) {
    return {Errc::network, fmt::format("the proxy {}: is it a SOCKS5 proxy?", what)};
  }

  Proxy proxy_;
  std::string host_;
  std::uint16_t port_;
  Step step_ = Step::method;
  std::string reply_;  // of the step, at most 262 bytes
};

template <class Handshake>
Result<std::unique_ptr<ProxyHandshake>> begun(std::unique_ptr<Handshake> handshake) {
  auto const asked = handshake->ask();
  if (!asked) return asked.error();
  return std::unique_ptr<ProxyHandshake>(std::move(handshake));
}

std::string_view meaning_of(int reply) {
  static constexpr std::string_view kMeanings[] = {"it has a failure of its own",
                                                   "its rules do not allow it",
                                                   "it has no network there",
                                                   "it cannot reach this host or does not know it",
                                                   "the connection from there is refused",
                                                   "the server does not answer it",
                                                   "it cannot connect at all",
                                                   "it does not know this kind of address"};
  if (reply < 1 || reply > static_cast<int>(std::size(kMeanings))) return "it does not say why";
  return kMeanings[reply - 1];
}

}  // namespace

Result<std::unique_ptr<ProxyHandshake>> ProxyHandshake::begin(Proxy const& proxy,
                                                              std::string_view host,
                                                              std::uint16_t port) {
  if (proxy.kind == Proxy::Kind::socks5) {
    return begun(std::make_unique<Socks5>(proxy, std::string(host), port));
  }
  return begun(std::make_unique<HttpConnect>(proxy, host_port(host, port)));
}

Error connect_refused(Proxy const& proxy, std::string_view target, int status) {
  auto const refused = [&](std::string_view why) {
    return Error(Errc::network, fmt::format("the proxy answers {} to CONNECT {}: {}", status,
                                            printable(target), why));
  };
  switch (status) {
    case 401:  // what tinyproxy says to a wrong login
    case 407:
      return login_missing(
          proxy, fmt::format("the proxy answers {} to CONNECT {}", status, printable(target)));
    case 403:
      return refused("its rules do not allow this server or port");
    case 400:
    case 404:
    case 405:
    case 501:
      return refused("it does not pass connections on; is it a proxy?");
    case 500:
    case 502:
    case 503:
    case 504:
      return refused("it cannot reach the server");
    default:
      return refused("only a 2xx lets us through");
  }
}

Error socks5_refused(std::string_view target, int reply) {
  return {Errc::network, fmt::format("the proxy refuses {} (SOCKS5 reply {}): {}",
                                     printable(target), reply, meaning_of(reply))};
}

Error socks5_login_refused(Proxy const& proxy) {
  return login_missing(proxy, "the proxy refuses the connection");
}

}  // namespace kportal::net
