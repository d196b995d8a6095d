// SPDX-License-Identifier: MIT
#include "doctor/words.h"

#include <ctime>
#include <span>

#include <fmt/format.h>

namespace kportal::doctor {
namespace {

constexpr std::size_t kMaxNames = 3;

std::chrono::days::rep days_left(net::CertificateFacts const& certificate, WallTime now) {
  return std::chrono::floor<std::chrono::days>(certificate.not_after - now).count();
}

std::string count(std::chrono::days::rep days) {
  return fmt::format("{} day{}", days, days == 1 ? "" : "s");
}

}  // namespace

std::string date(WallTime time) {
  std::time_t const seconds = std::chrono::system_clock::to_time_t(time);
  std::tm parts{};
  if (::gmtime_r(&seconds, &parts) == nullptr) return "?";
  return fmt::format("{:04}-{:02}-{:02}", parts.tm_year + 1900, parts.tm_mon + 1, parts.tm_mday);
}

std::string validity(net::CertificateFacts const& certificate, WallTime now) {
  if (certificate.not_before > now) {
    return fmt::format("not valid before {}", date(certificate.not_before));
  }
  if (certificate.not_after < now) {
    return fmt::format("expired on {}", date(certificate.not_after));
  }
  return fmt::format("valid until {}, {}", date(certificate.not_after),
                     count(days_left(certificate, now)));
}

std::string end_warning(std::string const& whose, net::CertificateFacts const& certificate,
                        WallTime now) {
  if (certificate.not_after < now) {
    return fmt::format("{} expired on {}", whose, date(certificate.not_after));
  }
  if (certificate.not_after > now + kSoon) return {};
  return fmt::format("{} ends in {}, on {}", whose, count(days_left(certificate, now)),
                     date(certificate.not_after));
}

std::string tls_words(net::TlsFacts const& facts, WallTime now) {
  if (!facts.certificate) return facts.version;
  net::CertificateFacts const& certificate = *facts.certificate;
  return fmt::format("{}, certificate of {} for {}, by {}, {}", facts.version, certificate.subject,
                     list_words(certificate.names, kMaxNames), certificate.issuer,
                     validity(certificate, now));
}

std::string list_words(std::vector<std::string> const& words, std::size_t most) {
  if (words.empty()) return "nothing";
  std::size_t const shown = std::min(words.size(), most);
  std::string text = fmt::format("{}", fmt::join(std::span(words).first(shown), ", "));
  if (shown < words.size()) text += fmt::format(" and {} more", words.size() - shown);
  return text;
}

}  // namespace kportal::doctor
