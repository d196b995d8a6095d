// SPDX-License-Identifier: MIT
#include "doctor/report.h"

#include <algorithm>
#include <array>

#include "doctor/cure.h"

namespace kportal::doctor {
namespace {

constexpr std::array<std::string_view, 14> kHopWords{
    "config", "kubeconfig", "resolve", "tcp",  "proxy",      "tls",    "login",
    "rights", "target",     "pod",     "port", "local-port", "tunnel", "reply"};
constexpr std::array<std::string_view, 4> kVerdictWords{"ok", "warning", "failed", "skipped"};

bool has_failed(Hop const& hop) {
  return hop.verdict == Verdict::failed;
}

Outcome outcome_of(Hop const& hop) {
  switch (hop.name) {
    case HopName::config:
    case HopName::kubeconfig:
      return Outcome::configuration;
    case HopName::login:
    case HopName::rights:
      break;
    default:
      if (hop.code != Errc::unauthorized && hop.code != Errc::auth_plugin &&
          hop.code != Errc::forbidden) {
        return Outcome::failed;
      }
  }
  bool const of_the_way =
      hop.code == Errc::network || hop.code == Errc::timeout || hop.code == Errc::server;
  return of_the_way ? Outcome::failed : Outcome::access;
}

}  // namespace

std::string_view to_word(HopName name) {
  return kHopWords[static_cast<std::size_t>(name)];
}

std::string_view to_word(Verdict verdict) {
  return kVerdictWords[static_cast<std::size_t>(verdict)];
}

Hops::Hops(HopName first, HopName last) {
  for (int i = static_cast<int>(first); i <= static_cast<int>(last); ++i) {
    hops_.push_back({static_cast<HopName>(i), Verdict::skipped, {}, {}, {}, {}, {}});
  }
}

Hop& Hops::at(HopName name) {
  return hops_.at(static_cast<std::size_t>(name) - static_cast<std::size_t>(hops_.front().name));
}

void Hops::ok(HopName name, std::chrono::microseconds took, std::string detail) {
  at(name) = {name, Verdict::ok, took, std::move(detail), {}, {}, {}};
}

void Hops::warn(HopName name, std::chrono::microseconds took, std::string detail,
                std::string message) {
  at(name) = {name, Verdict::warning, took, std::move(detail), std::move(message), {}, {}};
}

void Hops::fail(HopName name, std::chrono::microseconds took, Error const& error) {
  fail(name, took, error, name);
}

void Hops::fail(HopName name, std::chrono::microseconds took, Error const& error,
                HopName to_blame) {
  at(name) = {name,      Verdict::failed, took, {}, error.text, cure_of(to_blame, error.code),
              error.code};
}

void Hops::skip(HopName name, std::string detail) {
  at(name) = {name, Verdict::skipped, {}, std::move(detail), {}, {}, {}};
}

Hop const* Hops::first_failed() const {
  auto const failed = std::find_if(hops_.begin(), hops_.end(), has_failed);
  return failed == hops_.end() ? nullptr : &*failed;
}

bool Hops::failed_before(HopName name) const {
  Hop const* const failed = first_failed();
  return failed != nullptr && failed->name < name;
}

Hop const* Report::first_failed(ForwardReport const& forward) const {
  Hop const* const shared =
      forward.disabled ? nullptr : clusters.at(forward.cluster).hops.first_failed();
  return shared != nullptr ? shared : forward.hops.first_failed();
}

bool Report::unfinished(ForwardReport const& forward) const {
  return !forward.disabled && first_failed(forward) == nullptr &&
         forward.hops.all().back().verdict == Verdict::skipped;
}

Outcome outcome_of(Report const& report) {
  auto worst = Outcome::ok;
  auto const count = [&](Hop const* hop) {
    if (hop == nullptr) return;
    Outcome const outcome = outcome_of(*hop);
    if (worst == Outcome::ok || outcome < worst) worst = outcome;
  };
  count(report.config.first_failed());
  for (ForwardReport const& forward : report.forwards) count(report.first_failed(forward));
  return worst;
}

}  // namespace kportal::doctor
