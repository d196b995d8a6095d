// SPDX-License-Identifier: MIT
#include "config/decode.h"

#include <algorithm>
#include <array>
#include <filesystem>
#include <map>
#include <optional>
#include <utility>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "config/duration.h"
#include "config/grammar.h"
#include "config/reader.h"
#include "config/validate.h"

namespace kportal::config {
namespace {

// What the contract has and the product does not do yet. Read, checked, and warned about.
struct NotYet {
  std::string_view key;    // its path without indexes
  std::string_view value;  // the only one to warn about; empty = any
};
constexpr std::array kNotYet{
    NotYet{"mdns.enabled", "true"},
    NotYet{"contexts.namespaces.forwards.lazy", "true"},
    NotYet{"contexts.namespaces.forwards.httpLog", "true"},
    NotYet{"contexts.namespaces.forwards.tags", ""},
};

using Keys = std::string_view const[];
constexpr Keys kRootKeys = {"healthCheck", "reliability", "mdns", "contexts"};
constexpr Keys kHealthKeys = {"interval",     "timeout",          "method",     "podProbe",
                              "startupGrace", "maxConnectionAge", "maxIdleTime"};
constexpr Keys kReliabilityKeys = {"tcpKeepalive",   "dialTimeout",  "retryOnStale",
                                   "watchdogPeriod", "hold",         "authTimeout",
                                   "maxTunnels",     "pingInterval", "pingTimeout"};
constexpr Keys kMdnsKeys = {"enabled"};
constexpr Keys kContextKeys = {"name", "kubeconfig", "namespaces"};
constexpr Keys kNamespaceKeys = {"name", "forwards"};
constexpr Keys kForwardKeys = {"resource", "selector", "port",        "localPort", "alias",
                               "protocol", "address",  "tags",        "balance",   "allowUnready",
                               "lazy",     "disabled", "healthCheck", "halfClose", "httpLog"};
constexpr Keys kHttpLogKeys = {"enabled", "logFile", "filterPath", "maxBodySize", "includeHeaders"};

// A connection that the application resets ends one second later for us: the runtime waits that
// long for the other direction (protocol.md 3.3). The rest is for the way.
constexpr milliseconds kResetIsTold{1'200};
constexpr int kMaxTunnels = 256;
constexpr int kMaxBodySize = 1 << 30;

// "contexts[0].namespaces[2].name" -> "contexts.namespaces.name"
std::string without_indexes(std::string_view path) {
  std::string out;
  bool inside = false;
  for (char const c : path) {
    if (c == '[') inside = true;
    if (!inside) out += c;
    if (c == ']') inside = false;
  }
  return out;
}

std::string short_timeout(milliseconds timeout) {
  return fmt::format(
      "with a timeout of {}, data-transfer cannot see that an application resets its connections: "
      "a container runtime tells of it 1s later; write {} or more, or method: tcp-dial",
      format_duration(timeout), format_duration(kResetIsTold));
}

// How kNotYet writes a value.
std::string_view word_of(bool value) {
  return value ? "true" : "false";
}
std::string_view word_of(milliseconds) {
  return "";
}
std::string_view word_of(int) {
  return "";
}
template <class Enum>
std::string_view word_of(Enum value) {
  return to_word(value);
}

class Decoder {
 public:
  Decoder(std::vector<std::string> const& files, Environment const& environment, Report& problems,
          Report& warnings)
      : files_(files), environment_(environment), problems_(problems), warnings_(warnings) {}

  void blocks(Tree const& tree);
  // After the blocks of all files: forwards start from their health settings.
  void forwards(Tree const& tree);
  Config finish();

 private:
  // Where each key of a block was first set: several files may not disagree.
  using Origins = std::map<std::string, std::pair<std::size_t, Place>>;
  struct Scope {
    std::string kubeconfig;
    std::string context;
    std::string namespace_;
    bool complete = true;  // false: a name was wrong, so ids are not known
  };

  template <class T>
  void set(T& field, std::optional<T> const& value, Value const& at, Origins* origins);
  void duration(Value const& block, std::string_view key, milliseconds& into, AtLeast least,
                Origins* origins);
  void boolean(Value const& block, std::string_view key, bool& into, Origins* origins);
  void number(Value const& block, std::string_view key, int& into, int most, Origins* origins);
  template <class Enum, std::size_t N>
  void word(Value const& block, std::string_view key, Enum& into, std::array<Enum, N> const& all,
            Origins* origins);

  void health(Value const& block, HealthCheck& into, Origins* origins);
  void reliability(Value const& block);
  void mdns(Value const& block);
  void context(Value const& at, std::string const& base_dir);
  void namespace_of(Value const& at, Scope scope);
  void forward(Value const& at, Scope const& scope);
  bool target(Value const& at, ForwardSpec& spec);
  bool ports(Value const& at, PlacedForward& forward);
  bool alias(Value const& at, PlacedForward& forward);
  void protocol(Value const& at);
  void addresses(Value const& at, ForwardSpec& spec);
  void address(Value const& item, ForwardSpec& spec);
  void tags(Value const& at, ForwardSpec& spec);
  void options(Value const& at, ForwardSpec& spec);
  void look_at_timeout(Value const& at, HealthCheck const& health);
  void http_log(Value const& at);
  void note_not_yet(Value const& at, std::string_view word);
  std::string absolute(std::string const& path, std::string const& base_dir) const;

  std::vector<std::string> const& files_;
  Environment const& environment_;
  Report& problems_;
  Report& warnings_;
  std::optional<Reader> reader_;  // of the file at hand
  HealthCheck health_;
  Reliability reliability_;
  Origins origins_;
  std::vector<PlacedForward> forwards_;
  std::optional<std::pair<std::size_t, Place>> no_contexts_;  // the first `contexts: []`
  std::optional<milliseconds> short_timeout_;  // of a forward that says nothing of it
};

Value root_of(Tree const& tree) {
  return {"", tree.root, tree.root.place};
}

void Decoder::blocks(Tree const& tree) {
  reader_.emplace(tree.file, problems_, warnings_);
  Value const root = root_of(tree);
  if (root.kind() == NodeKind::null) {
    reader_->complain(root, "the file is empty; write at least contexts: []");
    return;
  }
  if (!reader_->is_mapping(root, kRootKeys)) return;
  if (auto const block = reader_->find(root, "healthCheck")) health(*block, health_, &origins_);
  if (auto const block = reader_->find(root, "reliability")) reliability(*block);
  if (auto const block = reader_->find(root, "mdns")) mdns(*block);
}

void Decoder::forwards(Tree const& tree) {
  Value const root = root_of(tree);
  if (root.kind() != NodeKind::mapping) return;
  reader_.emplace(tree.file, problems_, warnings_);
  auto const contexts =
      reader_->require(root, "contexts", "write a list of contexts, or contexts: [] for none");
  if (!contexts) return;
  if (contexts->kind() == NodeKind::sequence && contexts->node.content->items.empty()) {
    if (!no_contexts_) no_contexts_.emplace(tree.file, contexts->node.place);
    return;
  }
  for (Value const& item : reader_->items(*contexts, "a context")) context(item, tree.base_dir);
}

Config Decoder::finish() {
  check_together(forwards_, files_, problems_);
  if (forwards_.empty() && no_contexts_) {
    warnings_.add(no_contexts_->first, no_contexts_->second,
                  "contexts: is empty, so there is nothing to forward yet");
  }
  auto const timeout = origins_.find("healthCheck.timeout");
  if (short_timeout_ && timeout != origins_.end()) {
    auto const& [file, place] = timeout->second;
    warnings_.add(file, place, "healthCheck.timeout: " + short_timeout(*short_timeout_));
  }
  Config config;
  config.reliability = reliability_;
  for (PlacedForward& forward : forwards_) config.forwards.push_back(std::move(forward.spec));
  return config;
}

template <class T>
void Decoder::set(T& field, std::optional<T> const& value, Value const& at, Origins* origins) {
  if (!value) return;
  if (origins != nullptr) {
    auto const [first, is_new] =
        origins->try_emplace(at.path, std::pair(reader_->file(), at.node.place));
    if (!is_new && field != *value) {
      auto const& [file, place] = first->second;
      reader_->complain(at, fmt::format("is not what {}:{}:{} says; write it once", files_[file],
                                        place.line, place.column));
      return;
    }
  }
  field = *value;
  note_not_yet(at, word_of(*value));
}

void Decoder::duration(Value const& block, std::string_view key, milliseconds& into, AtLeast least,
                       Origins* origins) {
  if (auto const at = reader_->find(block, key)) {
    set(into, reader_->duration(*at, least), *at, origins);
  }
}

void Decoder::boolean(Value const& block, std::string_view key, bool& into, Origins* origins) {
  if (auto const at = reader_->find(block, key)) set(into, reader_->boolean(*at), *at, origins);
}

void Decoder::number(Value const& block, std::string_view key, int& into, int most,
                     Origins* origins) {
  if (auto const at = reader_->find(block, key)) {
    set(into, reader_->number(*at, 1, most), *at, origins);
  }
}

template <class Enum, std::size_t N>
void Decoder::word(Value const& block, std::string_view key, Enum& into,
                   std::array<Enum, N> const& all, Origins* origins) {
  auto const at = reader_->find(block, key);
  if (!at) return;
  auto const text = reader_->text(*at);
  if (!text) return;
  std::vector<std::string_view> words;
  for (Enum const value : all) {
    if (to_word(value) == *text) return set(into, std::optional(value), *at, origins);
    words.push_back(to_word(value));
  }
  reader_->complain(*at,
                    fmt::format("must be {}, not {}", fmt::join(words, " or "), in_quotes(*text)));
}

void Decoder::health(Value const& block, HealthCheck& into, Origins* origins) {
  if (!reader_->is_mapping(block, kHealthKeys)) return;
  duration(block, "interval", into.interval, AtLeast::more_than_zero, origins);
  duration(block, "timeout", into.timeout, AtLeast::more_than_zero, origins);
  word(block, "method", into.method,
       std::array{ProbeMethod::data_transfer, ProbeMethod::tcp_dial, ProbeMethod::none}, origins);
  duration(block, "podProbe", into.pod_probe, AtLeast::zero, origins);
  duration(block, "startupGrace", into.startup_grace, AtLeast::zero, origins);
  duration(block, "maxConnectionAge", into.max_connection_age, AtLeast::zero, origins);
  duration(block, "maxIdleTime", into.max_idle_time, AtLeast::zero, origins);
}

void Decoder::reliability(Value const& block) {
  if (!reader_->is_mapping(block, kReliabilityKeys)) return;
  Reliability& into = reliability_;
  duration(block, "tcpKeepalive", into.tcp_keepalive, AtLeast::zero, &origins_);
  duration(block, "dialTimeout", into.dial_timeout, AtLeast::more_than_zero, &origins_);
  boolean(block, "retryOnStale", into.retry_on_stale, &origins_);
  duration(block, "watchdogPeriod", into.watchdog_period, AtLeast::more_than_zero, &origins_);
  duration(block, "hold", into.hold, AtLeast::zero, &origins_);
  duration(block, "authTimeout", into.auth_timeout, AtLeast::more_than_zero, &origins_);
  number(block, "maxTunnels", into.max_tunnels, kMaxTunnels, &origins_);
  duration(block, "pingInterval", into.ping_interval, AtLeast::more_than_zero, &origins_);
  duration(block, "pingTimeout", into.ping_timeout, AtLeast::more_than_zero, &origins_);
}

void Decoder::mdns(Value const& block) {
  if (!reader_->is_mapping(block, kMdnsKeys)) return;
  bool enabled = false;
  boolean(block, "enabled", enabled, nullptr);
}

void Decoder::context(Value const& at, std::string const& base_dir) {
  if (!reader_->is_mapping(at, kContextKeys)) return;
  Scope scope;
  if (auto const name = reader_->require(
          at, "name", "write the name of a context of the kubeconfig, or current")) {
    auto const text = reader_->text(*name);
    Complaint const complaint = text ? check_context_name(*text) : Complaint("");
    if (text && complaint) reader_->complain(*name, *complaint);
    scope.complete = !complaint;
    if (text && *text != "current") scope.context = *text;
  } else {
    scope.complete = false;
  }
  if (auto const kubeconfig = reader_->find(at, "kubeconfig")) {
    auto const path = reader_->text(*kubeconfig);
    if (path && path->find_first_of(std::string_view("\0\n", 2)) != std::string::npos) {
      reader_->complain(*kubeconfig, fmt::format("{} is no path of a file", in_quotes(*path)));
    } else if (path && !path->empty()) {
      scope.kubeconfig = absolute(*path, base_dir);
    }
  }
  auto const namespaces = reader_->require(at, "namespaces", "write a list of namespaces");
  if (!namespaces) return;
  for (Value const& item : reader_->items(*namespaces, "one namespace")) namespace_of(item, scope);
}

void Decoder::namespace_of(Value const& at, Scope scope) {
  if (!reader_->is_mapping(at, kNamespaceKeys)) return;
  auto const name = reader_->require(at, "name", "write the name of a namespace");
  auto const text = name ? reader_->text(*name) : std::optional<std::string>();
  Complaint const complaint = text ? check_dns_label(*text) : Complaint("");
  if (text && complaint) reader_->complain(*name, *complaint);
  scope.complete = scope.complete && !complaint;
  scope.namespace_ = text.value_or("");
  auto const forwards = reader_->require(at, "forwards", "write a list of forwards");
  if (!forwards) return;
  for (Value const& item : reader_->items(*forwards, "one forward")) forward(item, scope);
}

void Decoder::forward(Value const& at, Scope const& scope) {
  if (!reader_->is_mapping(at, kForwardKeys)) return;
  PlacedForward forward;
  ForwardSpec& spec = forward.spec;
  spec.kubeconfig = scope.kubeconfig;
  spec.context = scope.context;
  spec.namespace_ = scope.namespace_;
  spec.health = health_;
  forward.path = at.path;
  forward.file = reader_->file();
  forward.place = at.node.place;
  bool const target_fits = target(at, spec);
  bool const port_fits = ports(at, forward);
  bool const alias_fits = alias(at, forward);
  bool const named = scope.complete && target_fits;
  forward.has_identity = port_fits && alias_fits && (named || !spec.alias.empty());
  protocol(at);
  addresses(at, spec);
  tags(at, spec);
  options(at, spec);
  forwards_.push_back(std::move(forward));
}

bool Decoder::target(Value const& at, ForwardSpec& spec) {
  auto const selector_at = reader_->find(at, "selector");
  auto const selector = selector_at ? reader_->text(*selector_at) : std::string();
  auto const resource_at = reader_->require(
      at, "resource", "write KIND/NAME, such as service/api, or pod and a selector");
  auto const resource = resource_at ? reader_->text(*resource_at) : std::optional<std::string>();
  if (!selector || !resource) return false;
  spec.resource = *resource;
  bool const blank = selector->find_first_not_of(" \t\r\n") == std::string::npos;
  Complaint const complaint = parse_target(*resource, blank ? "" : *selector, spec.target);
  if (complaint) {
    // A bare `pod` is right: what is wrong is the selector.
    bool const at_selector = !blank && resource->find('/') == std::string::npos &&
                             !parse_target(*resource, "a", spec.target);
    reader_->complain(at_selector ? *selector_at : *resource_at, *complaint);
    return false;
  }
  return true;
}

bool Decoder::ports(Value const& at, PlacedForward& forward) {
  ForwardSpec& spec = forward.spec;
  if (auto const port = reader_->require(at, "port", "write the remote port, a number or a name")) {
    auto const text = reader_->text(*port);
    Complaint const complaint = text ? check_port(*text, spec.target.kind) : Complaint();
    if (complaint) reader_->complain(*port, *complaint);
    spec.port = text.value_or("");
  }
  auto const local = reader_->require(at, "localPort", "write a port 1..65535, or auto");
  auto const text = local ? reader_->text(*local) : std::optional<std::string>();
  if (!text) return false;
  Complaint const complaint = parse_local_port(*text, spec.local_port);
  if (complaint) reader_->complain(*local, *complaint);
  forward.local_port_place = local->use;
  forward.has_local_port = !complaint;
  return !complaint;
}

bool Decoder::alias(Value const& at, PlacedForward& forward) {
  auto const found = reader_->find(at, "alias");
  if (!found) return true;
  auto const text = reader_->text(*found);
  if (!text) return false;
  if (text->empty()) return true;
  if (Complaint const complaint = check_alias(*text)) {
    reader_->complain(*found, *complaint);
    return false;
  }
  forward.spec.alias = *text;
  forward.alias_place = found->use;
  return true;
}

void Decoder::protocol(Value const& at) {
  auto const found = reader_->find(at, "protocol");
  auto const text = found ? reader_->text(*found) : std::optional<std::string>();
  if (!text || text->empty() || *text == "tcp") return;
  reader_->complain(*found, fmt::format("must be tcp, not {}", in_quotes(*text)));
}

void Decoder::addresses(Value const& at, ForwardSpec& spec) {
  auto const found = reader_->find(at, "address");
  if (found && found->kind() == NodeKind::sequence) {
    for (Value const& item : reader_->items(*found, "one address")) address(item, spec);
  } else if (found) {
    address(*found, spec);
  }
  if (spec.addresses.empty()) spec.addresses = {"localhost"};
}

void Decoder::address(Value const& item, ForwardSpec& spec) {
  auto const text = reader_->text(item);
  if (!text) return;
  std::string address;
  if (Complaint const complaint = parse_address(*text, address)) {
    return reader_->complain(item, *complaint);
  }
  for (std::string const& other : spec.addresses) {
    if (!addresses_overlap(address, other)) continue;
    return reader_->complain(
        item, fmt::format("{} is already covered by {}; leave one out", address, other));
  }
  if (!is_loopback(address)) {
    reader_->warn(
        item, fmt::format("{} is not a loopback address, so other machines can connect", address));
  }
  spec.addresses.push_back(std::move(address));
}

void Decoder::tags(Value const& at, ForwardSpec& spec) {
  auto const found = reader_->find(at, "tags");
  if (!found) return;
  if (found->kind() != NodeKind::sequence) {
    return reader_->complain(*found, "must be a list, such as [web]");
  }
  if (found->node.content->items.empty()) return;
  note_not_yet(*found, "");
  for (Value const& item : reader_->items(*found, "one tag")) {
    auto const text = reader_->text(item);
    if (!text) continue;
    if (Complaint const complaint = check_tag(*text)) {
      reader_->complain(item, *complaint);
    } else if (std::find(spec.tags.begin(), spec.tags.end(), *text) == spec.tags.end()) {
      spec.tags.push_back(*text);
    }
  }
}

void Decoder::options(Value const& at, ForwardSpec& spec) {
  word(at, "balance", spec.balance, std::array{Balance::pin, Balance::round_robin}, nullptr);
  boolean(at, "allowUnready", spec.allow_unready, nullptr);
  boolean(at, "lazy", spec.lazy, nullptr);
  boolean(at, "disabled", spec.disabled, nullptr);
  word(at, "halfClose", spec.half_close, std::array{HalfClose::pass, HalfClose::hold}, nullptr);
  if (auto const block = reader_->find(at, "healthCheck")) health(*block, spec.health, nullptr);
  look_at_timeout(at, spec.health);
  if (auto const block = reader_->find(at, "httpLog")) http_log(*block);
}

void Decoder::look_at_timeout(Value const& at, HealthCheck const& health) {
  if (health.method != ProbeMethod::data_transfer || health.timeout >= kResetIsTold) return;
  auto const block = reader_->find(at, "healthCheck");
  for (std::string_view const key : {"timeout", "method"}) {
    auto const own = block ? reader_->find(*block, key) : std::optional<Value>();
    if (own) return reader_->warn(*own, short_timeout(health.timeout));
  }
  short_timeout_ = health.timeout;
}

// true, false, or a mapping that is off unless it says `enabled: true`.
void Decoder::http_log(Value const& at) {
  if (at.kind() == NodeKind::scalar) {
    bool enabled = false;
    return set(enabled, reader_->boolean(at), at, nullptr);
  }
  if (!reader_->is_mapping(at, kHttpLogKeys)) return;
  for (std::string_view const key : {"logFile", "filterPath"}) {
    if (auto const found = reader_->find(at, key)) reader_->text(*found);
  }
  if (auto const found = reader_->find(at, "includeHeaders")) reader_->boolean(*found);
  if (auto const found = reader_->find(at, "maxBodySize")) {
    reader_->number(*found, 0, kMaxBodySize);
  }
  auto const found = reader_->find(at, "enabled");
  if (found && reader_->boolean(*found).value_or(false)) note_not_yet(at, "true");
}

void Decoder::note_not_yet(Value const& at, std::string_view word) {
  std::string const key = without_indexes(at.path);
  for (NotYet const& entry : kNotYet) {
    if (entry.key != key || (!entry.value.empty() && entry.value != word)) continue;
    reader_->warn(at, entry.value.empty() ? "not supported yet, ignored"
                                          : fmt::format("{}: not supported yet, ignored", word));
  }
}

// A leading ~/ is the home directory: no shell has expanded it here.
std::string Decoder::absolute(std::string const& path, std::string const& base_dir) const {
  std::filesystem::path out(path);
  auto const home = environment_("HOME");
  if (path.starts_with("~/") && home && !home->empty()) {
    out = std::filesystem::path(*home) / path.substr(2);
  }
  return (std::filesystem::path(base_dir) / out).lexically_normal().string();
}

}  // namespace

Config decode(std::vector<Tree> const& trees, std::vector<std::string> const& files,
              Environment const& environment, Report& problems, Report& warnings) {
  Decoder decoder(files, environment, problems, warnings);
  for (Tree const& tree : trees) decoder.blocks(tree);
  for (Tree const& tree : trees) decoder.forwards(tree);
  return decoder.finish();
}

}  // namespace kportal::config
