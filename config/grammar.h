// SPDX-License-Identifier: MIT
// What may stand in one value: names, targets, ports, selectors, addresses. Pure, offline, and
// without places, so that it serves arguments of the command line as well as files.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "config/config.h"

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
}  // namespace kportal::config
