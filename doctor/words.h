// SPDX-License-Identifier: MIT
// What hops found, in a few words for people, and what in it is worth a warning. Pure: `now` is a
// parameter.
#pragma once

#include <chrono>
#include <string>
#include <vector>

#include "net/tls.h"

namespace kportal::doctor {

using WallTime = std::chrono::system_clock::time_point;

// A certificate that ends sooner is worth a warning.
inline constexpr std::chrono::days kSoon{14};

// "2027-05-01"
std::string date(WallTime time);
// "valid until 2027-05-01, 159 days"
std::string validity(net::CertificateFacts const& certificate, WallTime now);
// "the server's certificate ends in 3 days, on 2027-05-01"; empty = not soon. `whose` begins it.
std::string end_warning(std::string const& whose, net::CertificateFacts const& certificate,
                        WallTime now);
// "TLSv1.3, certificate of kube-apiserver for a, b and 3 more, by kubernetes-ca, valid until ..."
std::string tls_words(net::TlsFacts const& facts, WallTime now);
// "a, b and 3 more"
std::string list_words(std::vector<std::string> const& words, std::size_t most);

}  // namespace kportal::doctor
