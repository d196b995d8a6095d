// SPDX-License-Identifier: MIT
#include "config/ad_hoc.h"

#include <algorithm>
#include <map>
#include <optional>
#include <utility>

#include <fmt/format.h>

#include "config/grammar.h"
#include "config/validate.h"

namespace kportal::config {
namespace {

constexpr std::string_view kPortForms =
    "a port is written PORT, LOCAL:REMOTE or :REMOTE (a free local port)";

bool all_digits(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; });
}

std::string argument(std::size_t index) {
  return fmt::format("argument {}", index);
}

class Builder {
 public:
  explicit Builder(AdHoc const& words) : words_(words) {}

  ParseOutcome build() {
    spec_.kubeconfig = words_.kubeconfig;
    context();
    name_space();
    target();
    addresses();
    if (words_.ports.empty())
      complain(argument(1), fmt::format("a port is missing; {}", kPortForms));
    for (std::size_t i = 0; i < words_.ports.size(); ++i) port(i + 2, words_.ports[i]);
    if (outcome_.problems.empty()) outcome_.config = std::move(config_);
    return std::move(outcome_);
  }

 private:
  struct Ports {
    std::string_view local;
    std::string_view remote;
  };

  void complain(std::string where, std::string message) {
    outcome_.problems.push_back({std::move(where), 0, 0, std::move(message)});
  }

  void context() {
    if (auto complaint = check_context_name(words_.context)) complain("--context", *complaint);
    spec_.context = words_.context;
  }

  void name_space() {
    if (words_.namespace_.empty()) return;
    if (auto complaint = check_dns_label(words_.namespace_)) complain("--namespace", *complaint);
    spec_.namespace_ = words_.namespace_;
  }

  void target() {
    bool const bare = words_.target.find('/') == std::string::npos;
    spec_.resource = bare ? "pod/" + words_.target : words_.target;
    Complaint const complaint = parse_target(spec_.resource, "", spec_.target);
    if (!complaint) return;
    complain(argument(1), *complaint);
    spec_.target.kind = TargetKind::service;  // so that ports are judged by the widest rule
  }

  void addresses() {
    for (std::string const& list : words_.addresses) {
      std::size_t begin = 0;
      while (begin <= list.size()) {
        std::size_t const end = std::min(list.find(',', begin), list.size());
        address(std::string_view(list).substr(begin, end - begin));
        begin = end + 1;
      }
    }
    if (spec_.addresses.empty()) spec_.addresses = {"localhost"};
  }

  void address(std::string_view text) {
    std::string address;
    if (auto complaint = parse_address(text, address)) return complain("--address", *complaint);
    for (std::string const& other : spec_.addresses) {
      if (!addresses_overlap(address, other)) continue;
      return complain("--address",
                      fmt::format("{} is already covered by {}; leave one out", address, other));
    }
    if (!is_loopback(address)) {
      outcome_.warnings.push_back(
          {"--address", 0, 0,
           fmt::format("{} is not a loopback address, so other machines can connect", address)});
    }
    spec_.addresses.push_back(std::move(address));
  }

  void port(std::size_t index, std::string const& word) {
    auto const ports = split(index, word);
    if (!ports) return;
    ForwardSpec spec = spec_;
    spec.port = ports->remote;
    if (auto complaint = check_port(ports->remote, spec.target.kind)) {
      return complain(argument(index), fmt::format("the port {}", *complaint));
    }
    if (auto complaint = parse_local_port(ports->local, spec.local_port)) {
      return complain(argument(index), fmt::format("the local port {}; :{} takes a free one",
                                                   *complaint, ports->remote));
    }
    if (spec.local_port == 0 && free_ports() > 1) {
      spec.alias = fmt::format("{}/{}", spec.resource, spec.port);
    }
    auto const [first, is_new] = seen_.try_emplace(spec.id(), index);
    if (!is_new) {
      return complain(argument(index),
                      spec.local_port == 0
                          ? fmt::format("{} is what {} asks for already", in_quotes(word),
                                        argument(first->second))
                          : fmt::format("local port {} is already used by {}; :{} takes a free one",
                                        spec.local_port, argument(first->second), spec.port));
    }
    config_.forwards.push_back(std::move(spec));
  }

  std::optional<Ports> split(std::size_t index, std::string_view word) {
    std::size_t const colon = word.find(':');
    if (word.empty() || std::count(word.begin(), word.end(), ':') > 1) {
      complain(argument(index), fmt::format("{} is no port; {}", in_quotes(word), kPortForms));
      return {};
    }
    if (colon == std::string_view::npos) return Ports{all_digits(word) ? word : "auto", word};
    Ports const ports{colon == 0 ? "auto" : word.substr(0, colon), word.substr(colon + 1)};
    if (!ports.remote.empty()) return ports;
    complain(argument(index),
             fmt::format("the remote port after {} is missing; {}", in_quotes(word), kPortForms));
    return {};
  }

  // How many of the words ask for a free local port.
  std::ptrdiff_t free_ports() const {
    return std::count_if(words_.ports.begin(), words_.ports.end(), [](std::string_view word) {
      return word.starts_with(':') || (word.find(':') == word.npos && !all_digits(word));
    });
  }

  AdHoc const& words_;
  ForwardSpec spec_;  // what all of them have in common
  Config config_;
  ParseOutcome outcome_;
  std::map<std::string, std::size_t> seen_;  // ids, and the arguments they came from
};

}  // namespace

ParseOutcome parse_ad_hoc(AdHoc const& words) {
  return Builder(words).build();
}

bool looks_like_port(std::string_view word) {
  std::size_t const colon = word.find(':');
  return !word.empty() && all_digits(word.substr(0, colon));
}

bool looks_like_port_name(std::string_view word) {
  return !check_port(word, TargetKind::service);
}

bool looks_like_target(std::string_view word) {
  Target target;
  return word.find('/') != std::string_view::npos && !parse_target(word, "", target);
}

}  // namespace kportal::config
