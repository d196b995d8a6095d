// SPDX-License-Identifier: MIT
// What may stand in a value (names, targets, ports, selectors, addresses) and what the forwards of
// all files must not do to each other. Pure, offline. The grammar is also for targets given as
// arguments.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "config/config.h"
#include "config/problem.h"

namespace kportal::config {

// What is wrong and what would be right, in words that fit after "KEY: "; nothing if all is well.
using Complaint = std::optional<std::string>;

// RFC 1123 as Kubernetes has it: a namespace is a label (63), most names are subdomains (253).
Complaint check_dns_label(std::string_view name);
Complaint check_dns_subdomain(std::string_view name);
// A kubeconfig's contexts may be named almost anything.
Complaint check_context_name(std::string_view name);
Complaint check_alias(std::string_view alias);
Complaint check_tag(std::string_view tag);
// The grammar of apimachinery's labels.Parse: k=v, k==v, k!=v, k in (a,b), k notin (a,b), k, !k,
// k>1, k<1, joined by commas. Empty is wrong here.
Complaint check_selector(std::string_view selector);

// KIND/NAME or `pod`, with kubectl's short, plural and group forms ("svc/api",
// "deployment.apps/web"). `selector` is checked with it and empty where there is none.
Complaint parse_target(std::string_view resource, std::string_view selector, Target& into);

// The remote port: 1..65535, or a name as it may be in a container (IANA service name, 15
// characters) or, for a service, in its ports (DNS label, 63).
Complaint check_port(std::string_view port, TargetKind kind);
// 1..65535, or `auto` as 0.
Complaint parse_local_port(std::string_view text, std::uint16_t& into);

// "localhost" or an IP address, brought to its usual form.
Complaint parse_address(std::string_view text, std::string& into);
bool is_loopback(std::string_view address);
// Of two results of parse_address: could a listener on one be in the way of one on the other?
bool addresses_overlap(std::string_view a, std::string_view b);

// A forward and where its parts stood.
struct PlacedForward {
  ForwardSpec spec;
  std::string path;  // "contexts[0].namespaces[0].forwards[2]"
  std::size_t file = 0;
  Place place;
  Place alias_place;
  Place local_port_place;
  bool has_local_port = false;  // false: it was missing or wrong
  bool has_identity = false;    // false: the id is not known, because a part of it was wrong
};

// Ids twice, aliases twice, local ports twice on overlapping addresses.
void check_together(std::vector<PlacedForward> const& forwards,
                    std::vector<std::string> const& files, Report& problems);

}  // namespace kportal::config
