// SPDX-License-Identifier: MIT
#include "config/grammar.h"

#include <algorithm>
#include <arpa/inet.h>
#include <array>
#include <charconv>

#include <fmt/format.h>

#include "base/printable.h"
#include "config/problem.h"

namespace kportal::config {
namespace {

constexpr std::size_t kMaxLabel = 63;
constexpr std::size_t kMaxSubdomain = 253;
constexpr std::size_t kMaxFreeName = 253;  // aliases and contexts
constexpr std::size_t kMaxIanaName = 15;

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}
bool is_lower(char c) {
  return c >= 'a' && c <= 'z';
}
bool is_lower_alnum(char c) {
  return is_digit(c) || is_lower(c);
}

bool is_label(std::string_view text) {
  if (text.empty() || text.size() > kMaxLabel) return false;
  if (!is_lower_alnum(text.front()) || !is_lower_alnum(text.back())) return false;
  return std::all_of(text.begin(), text.end(),
                     [](char c) { return is_lower_alnum(c) || c == '-'; });
}

// Here the parts between dots have no length of their own, as in Kubernetes.
bool is_subdomain(std::string_view text) {
  if (text.empty() || text.size() > kMaxSubdomain) return false;
  for (std::size_t at = 0; at < text.size(); ++at) {
    char const c = text[at];
    if (!is_lower_alnum(c) && c != '-' && c != '.') return false;
    bool const edge =
        at == 0 || at + 1 == text.size() || text[at - 1] == '.' || text[at + 1] == '.';
    if (edge && c == '-') return false;
    if (c == '.' && (at == 0 || at + 1 == text.size() || text[at + 1] == '.')) return false;
  }
  return true;
}

// A free name: anything printable, but no blanks around it.
Complaint check_free_name(std::string_view name) {
  if (name.size() > kMaxFreeName) {
    return fmt::format("{} is longer than {} bytes", in_quotes(name), kMaxFreeName);
  }
  if (name.front() == ' ' || name.back() == ' ') {
    return fmt::format("{} begins or ends with a blank", in_quotes(name));
  }
  if (printable(name) != name) {
    return fmt::format("{} holds a character that cannot be printed", in_quotes(name));
  }
  return {};
}

bool take_number(std::string_view text, std::uint16_t& into) {
  // No sign, no leading zero: 010 is 8 to some YAML readers.
  if (text.empty() || text.size() > 5 || text.front() == '0') return false;
  auto const [end, error] = std::from_chars(text.data(), text.data() + text.size(), into);
  return error == std::errc() && end == text.data() + text.size();
}

// IANA service names: letters, digits, single hyphens inside, at least one letter.
bool is_iana_name(std::string_view text) {
  return is_label(text) && text.size() <= kMaxIanaName &&
         text.find("--") == std::string_view::npos &&
         std::any_of(text.begin(), text.end(), is_lower);
}

// 0x50 and 0o120 could be names, but whoever writes them means a number.
bool looks_like_number(std::string_view text) {
  bool const hex = text.starts_with("0x");
  if (hex || text.starts_with("0o")) text.remove_prefix(2);
  return std::all_of(text.begin(), text.end(),
                     [&](char c) { return is_digit(c) || (hex && c >= 'a' && c <= 'f'); });
}

struct KindWord {
  std::string_view word;
  TargetKind kind;
};
// kubectl's names: singular, plural, short. The group is told by the kind alone.
constexpr std::array kKindWords{
    KindWord{"pod", TargetKind::pod},
    KindWord{"pods", TargetKind::pod},
    KindWord{"po", TargetKind::pod},
    KindWord{"service", TargetKind::service},
    KindWord{"services", TargetKind::service},
    KindWord{"svc", TargetKind::service},
    KindWord{"deployment", TargetKind::deployment},
    KindWord{"deployments", TargetKind::deployment},
    KindWord{"deploy", TargetKind::deployment},
    KindWord{"deployment.apps", TargetKind::deployment},
    KindWord{"deployments.apps", TargetKind::deployment},
    KindWord{"statefulset", TargetKind::statefulset},
    KindWord{"statefulsets", TargetKind::statefulset},
    KindWord{"sts", TargetKind::statefulset},
    KindWord{"statefulset.apps", TargetKind::statefulset},
    KindWord{"statefulsets.apps", TargetKind::statefulset},
    KindWord{"daemonset", TargetKind::daemonset},
    KindWord{"daemonsets", TargetKind::daemonset},
    KindWord{"ds", TargetKind::daemonset},
    KindWord{"daemonset.apps", TargetKind::daemonset},
    KindWord{"daemonsets.apps", TargetKind::daemonset},
    KindWord{"replicaset", TargetKind::replicaset},
    KindWord{"replicasets", TargetKind::replicaset},
    KindWord{"rs", TargetKind::replicaset},
    KindWord{"replicaset.apps", TargetKind::replicaset},
    KindWord{"replicasets.apps", TargetKind::replicaset},
    KindWord{"job", TargetKind::job},
    KindWord{"jobs", TargetKind::job},
    KindWord{"job.batch", TargetKind::job},
    KindWord{"jobs.batch", TargetKind::job},
    KindWord{"replicationcontroller", TargetKind::replication_controller},
    KindWord{"replicationcontrollers", TargetKind::replication_controller},
    KindWord{"rc", TargetKind::replication_controller},
};

KindWord const* find_kind(std::string_view word) {
  auto const found = std::find_if(kKindWords.begin(), kKindWords.end(),
                                  [&](KindWord const& k) { return k.word == word; });
  return found == kKindWords.end() ? nullptr : &*found;
}

}  // namespace

Complaint check_dns_label(std::string_view name) {
  if (is_label(name)) return {};
  return fmt::format(
      "must be lower-case letters, digits and -, with a letter or digit at both ends, at most {} "
      "characters, not {}",
      kMaxLabel, in_quotes(name));
}

Complaint check_dns_subdomain(std::string_view name) {
  if (is_subdomain(name)) return {};
  return fmt::format(
      "must be lower-case letters, digits, - and ., with a letter or digit at both ends, at most "
      "{} "
      "characters, not {}",
      kMaxSubdomain, in_quotes(name));
}

Complaint check_context_name(std::string_view name) {
  if (name.empty()) return {};
  return check_free_name(name);
}

Complaint check_alias(std::string_view alias) {
  if (alias.empty()) return "must not be empty";
  return check_free_name(alias);
}

Complaint check_tag(std::string_view tag) {
  if (tag.empty()) return "must not be empty";
  if (tag.find_first_of(" ,") != std::string_view::npos) {
    return fmt::format("{} holds a blank or a comma; a tag is one word", in_quotes(tag));
  }
  return check_free_name(tag);
}

Complaint parse_target(std::string_view resource, std::string_view selector, Target& into) {
  std::size_t const slash = resource.find('/');
  std::string_view const word = resource.substr(0, slash);
  KindWord const* const kind = find_kind(word);
  if (kind == nullptr) {
    return fmt::format(
        "{} is no kind; it is one of pod, service, deployment, statefulset, daemonset, replicaset, "
        "job, rc, as in service/api",
        in_quotes(word));
  }
  bool const is_pod = kind->kind == TargetKind::pod;
  if (slash == std::string_view::npos) {
    if (!is_pod) return fmt::format("{} needs a name, as in {}/NAME", in_quotes(word), word);
    if (selector.empty()) return "pod needs a name, as in pod/NAME, or a selector";
    into = Target{TargetKind::pod, "", std::string(selector)};
    return check_selector(selector);
  }
  std::string_view const name = resource.substr(slash + 1);
  if (name.empty()) return fmt::format("the name after {}/ is missing", word);
  if (Complaint complaint = check_dns_subdomain(name)) return "the name " + *complaint;
  if (!selector.empty()) {
    return fmt::format("{} has a name, so it cannot have a selector too; selectors go with pod",
                       in_quotes(resource));
  }
  into = Target{kind->kind, std::string(name), ""};
  return {};
}

Complaint check_port(std::string_view port, TargetKind kind) {
  std::uint16_t number = 0;
  bool const named = kind == TargetKind::service ? is_label(port) : is_iana_name(port);
  if (take_number(port, number) || (named && !looks_like_number(port))) return {};
  return fmt::format("must be a decimal number 1..65535 or the name of a port, not {}",
                     in_quotes(port));
}

Complaint parse_local_port(std::string_view text, std::uint16_t& into) {
  if (text == "auto") {
    into = 0;
    return {};
  }
  if (take_number(text, into)) return {};
  return fmt::format("must be a number 1..65535 or auto, not {}", in_quotes(text));
}

Complaint parse_address(std::string_view text, std::string& into) {
  into = std::string(text);
  if (text == "localhost") return {};
  // inet_pton would stop at a NUL.
  if (text.find('\0') != std::string_view::npos) into.clear();
  std::array<char, INET6_ADDRSTRLEN> printed{};
  in_addr v4{};
  in6_addr v6{};
  if (::inet_pton(AF_INET, into.c_str(), &v4) == 1) {
    into = ::inet_ntop(AF_INET, &v4, printed.data(), printed.size());
    return {};
  }
  if (::inet_pton(AF_INET6, into.c_str(), &v6) == 1) {
    // ::ffff:127.0.0.1 is the IPv4 address under another name.
    if (IN6_IS_ADDR_V4MAPPED(&v6)) {
      into = ::inet_ntop(AF_INET, &v6.s6_addr[12], printed.data(), printed.size());
    } else {
      into = ::inet_ntop(AF_INET6, &v6, printed.data(), printed.size());
    }
    return {};
  }
  return fmt::format("must be localhost or an IP address, not {}", in_quotes(text));
}

bool is_loopback(std::string_view address) {
  return address == "localhost" || address == "::1" || address.starts_with("127.");
}

}  // namespace kportal::config
