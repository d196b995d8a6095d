// SPDX-License-Identifier: MIT
#include "doctor/cluster_examination.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "doctor/self_review.h"
#include "doctor/words.h"
#include "net/certificate.h"
#include "net/tcp.h"

namespace kportal::doctor {
namespace {

constexpr std::size_t kMaxAddressesShown = 3;
constexpr std::size_t kMaxGroupsShown = 3;

WallTime wall_now() {
  return std::chrono::system_clock::now();
}

}  // namespace

ClusterExamination::ClusterExamination(k8s::Cluster& cluster, net::Resolver& resolver, Hops& hops)
    : cluster_(cluster),
      resolver_(resolver),
      hops_(hops),
      access_(cluster.access()),
      host_(access_.proxy ? access_.proxy->host : access_.server.host),
      port_(access_.proxy ? access_.proxy->port : access_.server.port),
      route_(resolver, access_.server, access_.proxy, access_.tls.ca_pem),
      tasks_(cluster.executor()) {}

awaitable<void> ClusterExamination::stop() {
  tasks_.cancel();
  co_await tasks_.join();
}

awaitable<void> ClusterExamination::run() {
  co_await resolve();
  if (!stopped()) co_await connect();
  if (!stopped()) co_await go_through_proxy();
  if (!stopped()) co_await secure();
  connection_.reset();
  if (!stopped()) co_await log_in();
}

awaitable<void> ClusterExamination::resolve() {
  Stopwatch const watch;
  auto addresses = co_await resolver_.resolve(host_, watch.deadline());
  if (addresses.has_error()) {
    fail_to_reach(HopName::resolve, watch.took(), addresses.error());
    co_return;
  }
  if (addresses->size() > net::kMaxConnectAddresses) addresses->resize(net::kMaxConnectAddresses);
  std::vector<std::string> texts;
  for (auto const& address : *addresses) {
    texts.push_back(address.to_string());
    attempts_.emplace_back(address);
  }
  std::string const words = list_words(texts, kMaxAddressesShown);
  hops_.ok(
      HopName::resolve, watch.took(),
      access_.proxy
          ? fmt::format("proxy {} is {}; the server's name is the proxy's to resolve", host_, words)
      : host_ == words ? words
                       : fmt::format("{} is {}", host_, words));
}

// Of the proxy, if there is one.
void ClusterExamination::fail_to_reach(HopName name, std::chrono::microseconds took,
                                       Error const& error) {
  if (access_.proxy) {
    hops_.fail(name, took, error.within("the proxy"), HopName::proxy);
  } else {
    hops_.fail(name, took, error);
  }
}

// Each address alone, for the product uses the first that answers and hides what is wrong with the
// others.
awaitable<void> ClusterExamination::connect() {
  Stopwatch const watch;
  for (Attempt& attempt : attempts_) tasks_.spawn(try_address(attempt, watch.deadline()));
  co_await tasks_.join();
  judge_attempts(watch);
}

awaitable<void> ClusterExamination::try_address(Attempt& attempt, TimePoint deadline) {
  net::TcpOptions const options;
  auto const socket =
      co_await net::connect(resolver_, attempt.address.to_string(), port_, options, deadline);
  if (socket.has_error()) attempt.error = socket.error();
}

void ClusterExamination::judge_attempts(Stopwatch const& watch) {
  std::vector<std::string> good;
  std::vector<std::string> bad;
  for (Attempt const& attempt : attempts_) {
    if (attempt.error) {
      bad.push_back(attempt.error->text);
    } else {
      good.push_back(net::host_port(attempt.address.to_string(), port_));
    }
  }
  std::string const answers = list_words(good, kMaxAddressesShown);
  if (good.empty()) {
    Error error = *attempts_.front().error;
    error.text = list_words(bad, kMaxAddressesShown);
    fail_to_reach(HopName::tcp, watch.took(), error);
  } else if (!bad.empty()) {
    hops_.warn(HopName::tcp, watch.took(), answers,
               "not all addresses answer: " + list_words(bad, kMaxAddressesShown));
  } else {
    hops_.ok(HopName::tcp, watch.took(), answers);
  }
}

awaitable<void> ClusterExamination::go_through_proxy() {
  Stopwatch const again;
  net::TcpOptions const options;
  auto reached = co_await route_.reach(options, again.deadline());
  if (reached.has_error()) {
    hops_.fail(HopName::tcp, again.took(), reached.error());
    co_return;
  }
  if (!access_.proxy) hops_.skip(HopName::proxy, "none");
  Stopwatch const watch;
  auto passed = co_await route_.pass_proxy(std::move(*reached), watch.deadline());
  if (passed.has_error()) {
    hops_.fail(HopName::proxy, watch.took(), passed.error());
    co_return;
  }
  if (access_.proxy) {
    hops_.ok(HopName::proxy, watch.took(),
             fmt::format("{} by {}", net::scheme(access_.proxy->kind), net::place(*access_.proxy)));
  }
  connection_.emplace(std::move(*passed));
}

awaitable<void> ClusterExamination::secure() {
  if (!access_.server.tls) {
    hops_.skip(HopName::tls, "none: http");
    co_return;
  }
  Stopwatch const watch;
  net::TlsFacts facts;
  auto secured =
      co_await route_.secure(std::move(*connection_), *cluster_.tls(), watch.deadline(), &facts);
  auto const took = watch.took();
  if (secured.has_error()) {
    hops_.fail(HopName::tls, took, secured.error());
    co_return;
  }
  std::string warning;
  if (access_.tls.insecure) {
    warning =
        "insecure-skip-tls-verify is set: anybody on the way can be the server, and read and "
        "change everything";
  } else if (facts.certificate) {
    warning = end_warning("the server's certificate", *facts.certificate, wall_now());
  }
  std::string words = tls_words(facts, wall_now());
  if (warning.empty()) {
    hops_.ok(HopName::tls, took, std::move(words));
  } else {
    hops_.warn(HopName::tls, took, std::move(words), std::move(warning));
  }
}

awaitable<void> ClusterExamination::log_in() {
  Stopwatch const watch;
  auto const identity = co_await cluster_.credentials().identity();
  if (identity.has_error()) {
    hops_.fail(HopName::login, watch.took(), identity.error());
    co_return;
  }
  std::string const path = kSelfReviewPath;
  std::string const request = self_review_request();
  auto const answer = co_await cluster_.rest().post(path, request, Clock::now() + kHopTime);
  judge_login(answer, **identity, watch.took());
}

void ClusterExamination::judge_login(Result<std::string> const& answer,
                                     k8s::Identity const& identity,
                                     std::chrono::microseconds took) {
  std::string const by = method(identity);
  if (answer.has_error()) {
    Errc const code = answer.error().code;
    // A server before 1.28 has no such question, and a strict one does not let everybody ask. It
    // knows us all the same, for it says so after it has looked at the credentials.
    if (code == Errc::not_found || code == Errc::forbidden) {
      hops_.ok(HopName::login, took, by + ": taken; the server does not say for whom");
    } else {
      hops_.fail(HopName::login, took, answer.error());
    }
    return;
  }
  auto const user = parse_self_review(*answer);
  if (user.has_error()) return hops_.fail(HopName::login, took, user.error());
  std::string words =
      fmt::format("{} ({}) by {}", user->name, list_words(user->groups, kMaxGroupsShown), by);
  std::string warning;
  auto const certificate = net::certificate_facts(certificate_of(identity));
  if (certificate) warning = end_warning("your certificate", *certificate, wall_now());
  if (user->anonymous()) {
    warning = "the server knows nobody by these credentials and takes us for anybody";
  }
  if (warning.empty()) {
    hops_.ok(HopName::login, took, std::move(words));
  } else {
    hops_.warn(HopName::login, took, std::move(words), std::move(warning));
  }
}

std::string const& ClusterExamination::certificate_of(k8s::Identity const& identity) const {
  return identity.cert_pem.empty() ? access_.tls.cert_pem : identity.cert_pem;
}

std::string ClusterExamination::method(k8s::Identity const& identity) const {
  std::vector<std::string> parts;
  std::string const plugin = cluster_.credentials().plugin();
  if (!plugin.empty()) parts.push_back("plugin " + plugin);
  if (auto const facts = net::certificate_facts(certificate_of(identity))) {
    parts.push_back(
        fmt::format("certificate of {}, {}", facts->subject, validity(*facts, wall_now())));
  }
  if (!access_.auth.token_file.empty()) {
    parts.push_back("token of " + access_.auth.token_file);
  } else if (!access_.auth.token.empty()) {
    parts.push_back("token");
  }
  if (!access_.auth.username.empty()) parts.push_back("name and password");
  if (parts.empty()) parts.push_back("no credentials");
  std::string words = fmt::format("{}", fmt::join(parts, " and "));
  if (!access_.auth.impersonation.user.empty()) words += ", impersonated";
  return words;
}

}  // namespace kportal::doctor
