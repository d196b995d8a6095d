// SPDX-License-Identifier: MIT
#include "k8s/kubeconfig_yaml.h"

#include <algorithm>
#include <exception>
#include <filesystem>
#include <map>
#include <optional>
#include <regex>
#include <sstream>
#include <string_view>
#include <utility>

#include <fmt/format.h>
#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/yaml.h>

#include "base/printable.h"
#include "k8s/kubeconfig_scalar.h"

namespace kportal::k8s {
namespace {

// Of names of entries, which errors show, and of file names.
constexpr std::size_t kMaxName = 1024;
constexpr std::size_t kMaxPath = 4096;
// Maps merged into maps that are merged into a map.
constexpr std::size_t kMaxMergeDepth = 16;
// What a cluster's extension tells a login plugin, as JSON: it goes into an environment variable,
// where Linux takes 128 KiB.
constexpr std::size_t kMaxExtension = 128 * 1024;
constexpr std::size_t kMaxExtensionDepth = 64;

// Base64 as Go's encoding/json reads it: the standard alphabet, padded; line breaks are passed
// over.
std::optional<std::string> decode_base64(std::string_view text) {
  static constexpr std::string_view kAlphabet =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string bytes;
  bytes.reserve(text.size() / 4 * 3);
  std::uint32_t bits = 0;
  int digits = 0;
  int padding = 0;
  for (char const c : text) {
    if (c == '\r' || c == '\n' || c == ' ') continue;
    std::size_t const value = kAlphabet.find(c);
    if (c == '=') {
      ++padding;
    } else if (value == std::string_view::npos || padding > 0) {
      return std::nullopt;
    }
    bits = bits << 6 | (c == '=' ? 0U : static_cast<std::uint32_t>(value));
    if (++digits < 4) continue;
    for (int i = 0; i < 3 - padding; ++i) bytes += static_cast<char>(bits >> (16 - 8 * i) & 0xFF);
    bits = 0;
    digits = 0;
    if (padding > 2) return std::nullopt;
  }
  if (digits != 0) return std::nullopt;
  return bytes;
}

bool has_control(std::string_view text) {
  return std::ranges::any_of(
      text, [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7F; });
}

// The members of one map, and the words that name it in errors.
struct Members {
  std::string where;
  std::map<std::string, YAML::Node, std::less<>> values;
};

// Reads typed values; the first problem is remembered, and the rest yields defaults. Values never
// appear in a problem, only keys and the names of entries, for a value may be a secret.
class Document {
 public:
  explicit Document(std::string const& path)
      : path_(path), folder_(std::filesystem::path(path).parent_path()) {}

  bool failed() const { return !problem_.empty(); }
  Error error() const { return {Errc::kubeconfig, fmt::format("{}: {}", path_, problem_)}; }
  void fail(std::string problem) {
    if (problem_.empty()) problem_ = std::move(problem);
  }
  void fail(std::string const& where, std::string_view key, std::string_view what) {
    fail(where.empty() ? fmt::format("{} {}", key, what)
                       : fmt::format("{}: {} {}", where, key, what));
  }

  void fail_too_many() {
    fail(fmt::format("more than {} values, counting each use of an alias", kMaxKubeconfigNodes));
  }

  Members members(YAML::Node const& node, std::string where) {
    Members result{std::move(where), {}};
    if (!node.IsDefined() || node.IsNull()) return result;
    if (!node.IsMap()) {
      fail(result.where.empty() ? "it is not a map of keys"
                                : result.where + " is not a map of keys");
      return result;
    }
    add_members(node, result, 0);
    return result;
  }

  Members members(Members const& parent, std::string_view key) {
    return members(find(parent, key), inside(parent, key));
  }

  // Calls take(item, "WHERE[i]") for each item of a list.
  template <class Take>
  void each(Members const& parent, std::string_view key, Take const& take) {
    YAML::Node const list = find(parent, key);
    if (!list.IsDefined() || list.IsNull()) return;
    if (!list.IsSequence()) return fail(parent.where, key, "is not a list");
    std::size_t index = 0;
    for (auto const& item : list) {
      if (!count()) return;
      take(item, fmt::format("{}[{}]", inside(parent, key), index++));
      if (failed()) return;
    }
  }

  std::string text(Members const& parent, std::string_view key) {
    YAML::Node const node = find(parent, key);
    return scalar(
        node, parent.where.empty() ? std::string(key) : fmt::format("{}: {}", parent.where, key));
  }

  std::string name(Members const& parent, std::string_view key) {
    std::string value = short_text(parent, key, kMaxName);
    if (has_control(value)) fail(parent.where, key, "has control characters");
    return value;
  }

  std::string item_text(YAML::Node const& item, std::string const& where) {
    return scalar(item, where);
  }

  bool boolean(Members const& parent, std::string_view key) {
    YAML::Node const node = find(parent, key);
    if (!node.IsDefined() || node.IsNull()) return false;
    auto const truth = node.IsScalar() && is_plain(node) ? yaml_truth(node.Scalar()) : std::nullopt;
    if (!truth) fail(parent.where, key, "is neither true nor false (and without quotes)");
    return truth.value_or(false);
  }

  std::string base64(Members const& parent, std::string_view key) {
    auto decoded = decode_base64(text(parent, key));
    if (!decoded) fail(parent.where, key, "is not base64");
    return std::move(decoded).value_or(std::string());
  }

  // The value as JSON, of whatever kind it is; empty if there is none.
  std::string json(Members const& parent, std::string_view key) {
    YAML::Node const node = find(parent, key);
    std::string text;
    if (node.IsDefined() && !node.IsNull()) append_json(node, inside(parent, key), 0, text);
    // What was appended last may be long.
    if (text.size() > kMaxExtension) fail(fmt::format("{} is too large", inside(parent, key)));
    return text;
  }

  std::string file_name(Members const& parent, std::string_view key) {
    return absolute(short_text(parent, key, kMaxPath));
  }

  std::string absolute(std::string const& name) const {
    if (name.empty() || name.front() == '/') return name;
    return (folder_ / name).lexically_normal().string();
  }

  void warn(std::string_view what) { warnings_.push_back(fmt::format("{}: {}", path_, what)); }
  std::vector<std::string> take_warnings() { return std::move(warnings_); }

 private:
  static bool is_plain(YAML::Node const& node) { return node.Tag() == "?"; }

  // As kubectl, which takes no number for a text.
  std::string scalar(YAML::Node const& node, std::string const& where) {
    if (!node.IsDefined() || node.IsNull()) return {};
    if (!node.IsScalar()) {
      fail(where + " is not text");
    } else if (is_plain(node) && !is_yaml_text(node.Scalar())) {
      fail(where + " is a number or a truth value, not text: put it in quotes");
    } else {
      return node.Scalar();
    }
    return {};
  }

  // Keys that are there twice: the last one counts, as for kubectl.
  void add_members(YAML::Node const& node, Members& result, std::size_t depth) {
    std::vector<YAML::Node> merged;
    for (auto const& item : node) {
      YAML::Node const& key = item.first;
      if (!count()) return;
      if (!key.IsScalar()) {
        fail(result.where, "a key", "is not text");
      } else if (key.Scalar() == "<<" && is_plain(key)) {
        merged.push_back(item.second);
      } else if (has_control(key.Scalar())) {
        fail(result.where, "a key", "has control characters");
      } else if (key.Scalar().size() > kMaxName) {
        fail(result.where, "a key", fmt::format("is longer than {} bytes", kMaxName));
      } else if (auto const [at, added] = result.values.emplace(key.Scalar(), item.second);
                 !added && depth == 0) {
        at->second.reset(item.second);
        warn(inside(result, key.Scalar()) + " is there twice: the last one counts");
      }
    }
    for (YAML::Node const& each : merged) merge(each, result, depth + 1);
  }

  // What a map has already stays; of several merged ones the first wins.
  void merge(YAML::Node const& from, Members& result, std::size_t depth) {
    if (depth > kMaxMergeDepth) return fail(result.where, "<<", "is nested too deeply");
    if (from.IsMap()) return add_members(from, result, depth);
    if (!from.IsSequence())
      return fail(result.where, "<<", "merges neither a map nor a list of maps");
    for (auto const& each : from) {
      if (!each.IsMap()) return fail(result.where, "<<", "merges something that is not a map");
      add_members(each, result, depth);
    }
  }

  static YAML::Node find(Members const& parent, std::string_view key) {
    auto const found = parent.values.find(key);
    return found == parent.values.end() ? YAML::Node(YAML::NodeType::Undefined) : found->second;
  }

  std::string short_text(Members const& parent, std::string_view key, std::size_t limit) {
    std::string value = text(parent, key);
    if (value.size() > limit)
      fail(parent.where, key, fmt::format("is longer than {} bytes", limit));
    return value;
  }

  static std::string inside(Members const& parent, std::string_view key) {
    return parent.where.empty() ? std::string(key) : fmt::format("{}.{}", parent.where, key);
  }

  void append_json(YAML::Node const& node, std::string const& where, std::size_t depth,
                   std::string& to) {
    if (depth > kMaxExtensionDepth || to.size() > kMaxExtension) {
      return fail(fmt::format("{} is too large", where));
    }
    if (!count()) return;
    if (node.IsScalar()) return append_json_scalar(node, to);
    if (!node.IsMap() && !node.IsSequence()) {
      to += "null";
      return;
    }
    to += node.IsMap() ? '{' : '[';
    char const last = node.IsMap() ? '}' : ']';
    bool first = true;
    for (auto const& item : node) {
      if (failed()) return;
      if (!std::exchange(first, false)) to += ',';
      if (node.IsMap()) {
        append_json_string(to, item.first.IsScalar() ? item.first.Scalar() : std::string());
        to += ':';
      }
      append_json(node.IsMap() ? item.second : YAML::Node(item), where, depth + 1, to);
    }
    to += last;
  }

  // What is not quoted and looks like a number or a truth value is one.
  static void append_json_scalar(YAML::Node const& node, std::string& to) {
    std::string const& text = node.Scalar();
    static std::regex const number("-?(0|[1-9][0-9]{0,17})([.][0-9]{1,17})?([eE][-+]?[0-9]{1,3})?");
    if (is_plain(node) && (text == "true" || text == "false" || std::regex_match(text, number))) {
      to += text;
    } else {
      append_json_string(to, text);
    }
  }

  // Aliases share nodes, so only walking them costs: a few lines can stand for millions.
  bool count() {
    if (++nodes_ > kMaxKubeconfigNodes) {
      fail_too_many();
    }
    return !failed();
  }

  std::string path_;
  std::filesystem::path folder_;
  std::string problem_;
  std::vector<std::string> warnings_;
  std::size_t nodes_ = 0;
};

ClusterEntry read_cluster(Document& document, Members const& members) {
  ClusterEntry cluster;
  cluster.server = document.text(members, "server");
  cluster.tls_server_name = document.text(members, "tls-server-name");
  cluster.insecure_skip_tls_verify = document.boolean(members, "insecure-skip-tls-verify");
  cluster.certificate_authority = document.file_name(members, "certificate-authority");
  cluster.certificate_authority_data = document.base64(members, "certificate-authority-data");
  cluster.proxy_url = document.text(members, "proxy-url");
  cluster.disable_compression = document.boolean(members, "disable-compression");
  document.each(members, "extensions", [&](YAML::Node const& item, std::string const& where) {
    Members const pair = document.members(item, where);
    if (document.text(pair, "name") != "client.authentication.k8s.io/exec") return;
    cluster.exec_extension = document.json(pair, "extension");
  });
  return cluster;
}

std::vector<std::string> read_texts(Document& document, Members const& members,
                                    std::string_view key) {
  std::vector<std::string> texts;
  document.each(members, key, [&](YAML::Node const& item, std::string const& where) {
    texts.push_back(document.item_text(item, where));
  });
  return texts;
}

Impersonation read_impersonation(Document& document, Members const& members) {
  Impersonation result;
  result.user = document.text(members, "as");
  result.uid = document.text(members, "as-uid");
  result.groups = read_texts(document, members, "as-groups");
  Members const extra = document.members(members, "as-user-extra");
  for (auto const& [key, values] : extra.values) {
    result.extra[key] = read_texts(document, extra, key);
  }
  return result;
}

std::optional<ExecConfig> read_exec(Document& document, Members const& user) {
  Members const members = document.members(user, "exec");
  if (members.values.empty()) return std::nullopt;
  ExecConfig exec;
  exec.api_version = document.text(members, "apiVersion");
  exec.command = document.text(members, "command");
  if (exec.command.find('/') != std::string::npos) exec.command = document.absolute(exec.command);
  exec.args = read_texts(document, members, "args");
  document.each(members, "env", [&](YAML::Node const& item, std::string const& where) {
    Members const variable = document.members(item, where);
    exec.env.emplace_back(document.text(variable, "name"), document.text(variable, "value"));
  });
  exec.install_hint = document.text(members, "installHint");
  exec.interactive_mode = document.text(members, "interactiveMode");
  exec.provide_cluster_info = document.boolean(members, "provideClusterInfo");
  return exec;
}

UserEntry read_user(Document& document, Members const& members) {
  UserEntry user;
  user.client_certificate = document.file_name(members, "client-certificate");
  user.client_certificate_data = document.base64(members, "client-certificate-data");
  user.client_key = document.file_name(members, "client-key");
  user.client_key_data = document.base64(members, "client-key-data");
  user.token = document.text(members, "token");
  user.token_file = document.file_name(members, "tokenFile");
  user.username = document.text(members, "username");
  user.password = document.text(members, "password");
  user.impersonation = read_impersonation(document, members);
  Members const provider = document.members(members, "auth-provider");
  if (!provider.values.empty()) {
    user.auth_provider = document.name(provider, "name");
    if (user.auth_provider.empty()) document.fail(provider.where, "name", "is missing");
  }
  user.exec = read_exec(document, members);
  return user;
}

ContextEntry read_context(Document& document, Members const& members) {
  ContextEntry context;
  context.cluster = document.name(members, "cluster");
  context.user = document.name(members, "user");
  context.namespace_ = document.name(members, "namespace");
  return context;
}

// `key` is a list of {name: NAME, `member`: {...}}.
template <class Entry, class Read>
void read_entries(Document& document, Members const& root, std::string_view key,
                  std::string_view member, std::map<std::string, Entry>& entries,
                  Read const& read) {
  document.each(root, key, [&](YAML::Node const& item, std::string const& where) {
    Members const pair = document.members(item, where);
    std::string const name = document.name(pair, "name");
    if (name.empty()) return document.warn(where + " has no name: it is passed over");
    if (document.failed()) return;
    Members named{fmt::format("{} \"{}\"", member, name), {}};
    auto const found = pair.values.find(member);
    if (found != pair.values.end()) named = document.members(found->second, named.where);
    if (!entries.emplace(name, read(document, named)).second) {
      document.fail(fmt::format("{} is there twice: remove or rename one", named.where));
    }
  });
}

Kubeconfig read_root(Document& document, YAML::Node const& node) {
  Kubeconfig config;
  Members const root = document.members(node, "");
  std::string const kind = document.text(root, "kind");
  std::string const version = document.text(root, "apiVersion");
  if ((!kind.empty() && kind != "Config") || (!version.empty() && version != "v1")) {
    document.fail("it is not a kubeconfig: apiVersion v1, kind Config");
  }
  config.current_context = document.name(root, "current-context");
  document.members(root, "preferences");
  read_entries(document, root, "clusters", "cluster", config.clusters, read_cluster);
  read_entries(document, root, "users", "user", config.users, read_user);
  read_entries(document, root, "contexts", "context", config.contexts, read_context);
  return config;
}

template <class Entries>
void set_origin(Entries& entries, std::string const& path) {
  for (auto& [name, entry] : entries) entry.origin = path;
}

struct TooManyNodes : std::exception {};

// Reads a document without keeping it, so that one of a million nodes is refused before it costs
// memory.
class NodeCounter final : public YAML::EventHandler {
 public:
  void OnDocumentStart(YAML::Mark const&) override {}
  void OnDocumentEnd() override {}
  void OnNull(YAML::Mark const&, YAML::anchor_t) override { count(); }
  void OnAlias(YAML::Mark const&, YAML::anchor_t) override { count(); }
  void OnScalar(YAML::Mark const&, std::string const&, YAML::anchor_t,
                std::string const&) override {
    count();
  }
  void OnSequenceStart(YAML::Mark const&, std::string const&, YAML::anchor_t,
                       YAML::EmitterStyle::value) override {
    count();
  }
  void OnSequenceEnd() override {}
  void OnMapStart(YAML::Mark const&, std::string const&, YAML::anchor_t,
                  YAML::EmitterStyle::value) override {
    count();
  }
  void OnMapEnd() override {}

 private:
  void count() {
    if (++nodes_ > kMaxKubeconfigNodes) throw TooManyNodes();
  }
  std::size_t nodes_ = 0;
};

// Each node but the first begins after one of these, so a text with few of them needs no counting,
// which takes as long as reading does.
bool may_be_too_many(std::string_view text) {
  constexpr std::string_view kMarks = ",:-?[{\n\r";
  return static_cast<std::size_t>(std::ranges::count_if(text, [&](char c) {
           return kMarks.find(c) != kMarks.npos;
         })) >= kMaxKubeconfigNodes / 2;
}

YAML::Node load_bounded(std::string const& text) {
  if (!may_be_too_many(text)) return YAML::Load(text);
  std::istringstream stream(text);
  YAML::Parser parser(stream);
  NodeCounter counter;
  parser.HandleNextDocument(counter);
  return YAML::Load(text);
}

// yaml-cpp's own words, without what it quotes from the text.
std::string describe(YAML::Exception const& problem) {
  std::string_view const words = problem.msg;
  return fmt::format("line {}, column {}: broken YAML: {}", problem.mark.line + 1,
                     problem.mark.column + 1, words.substr(0, words.find(':')));
}

}  // namespace

Result<Kubeconfig> parse_kubeconfig(std::string const& text, std::string const& path) {
  Document document(path);
  Kubeconfig config;
  try {
    config = read_root(document, load_bounded(text));
  } catch (YAML::Exception const& problem) {
    document.fail(describe(problem));
  } catch (TooManyNodes const&) {
    document.fail_too_many();
  } catch (std::exception const&) {
    document.fail("YAML that cannot be read");
  }
  if (document.failed()) return document.error();
  config.files.push_back(path);
  config.warnings = document.take_warnings();
  set_origin(config.clusters, path);
  set_origin(config.users, path);
  set_origin(config.contexts, path);
  return config;
}

}  // namespace kportal::k8s
