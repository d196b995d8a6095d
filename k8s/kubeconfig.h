// SPDX-License-Identifier: MIT
// The kubeconfig by client-go's loading rules: which files, how they merge, what one context means.
// Reads files only through an Environment, so tests need none. Not a client: it opens no connection
// and runs no plugin; k8s/credentials turns `Auth` into request headers. Error texts never contain
// a secret.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/error.h"
#include "net/proxy.h"

namespace kportal::k8s {

inline constexpr std::size_t kMaxKubeconfigSize = 4 * 1024 * 1024;
// CA bundles, certificates and keys that a kubeconfig names.
inline constexpr std::size_t kMaxPemFileSize = 1024 * 1024;
// YAML nodes of one file, each counted as often as aliases use it.
inline constexpr std::size_t kMaxKubeconfigNodes = 200'000;

// The whole file, or why not: boost::system::errc::no_such_file_or_directory for a missing one,
// file_too_large for one of more than `limit` bytes, no_message for a pipe that has no more.
using FileReader =
    std::function<boost::system::result<std::string>(std::string const& path, std::size_t limit)>;

struct Environment {
  std::function<std::optional<std::string>(std::string const& name)> variable;
  FileReader read_file;
  std::string working_directory;            // absolute; for the relative paths of files themselves
  std::vector<std::string> variables = {};  // NAME=value, all; for login plugins
};
// getenv, and plain blocking reads. Its FileReader may be used alone.
Environment system_environment();

// What the file says, as merged. `origin` is the file that defined the entry; file names inside an
// entry are absolute already, *_data is decoded already.
struct ClusterEntry {
  std::string origin;
  std::string server;
  std::string tls_server_name;
  bool insecure_skip_tls_verify = false;
  std::string certificate_authority;
  std::string certificate_authority_data;
  std::string proxy_url;
  bool disable_compression = false;
  std::string exec_extension;  // JSON, of the extension client.authentication.k8s.io/exec
  bool operator==(ClusterEntry const&) const = default;
};

struct ExecConfig {
  std::string api_version;
  std::string command;  // absolute if it was written with a separator, else for PATH
  std::vector<std::string> args;
  std::vector<std::pair<std::string, std::string>> env;
  std::string install_hint;
  std::string interactive_mode;  // as written; empty = not written
  bool provide_cluster_info = false;
  bool operator==(ExecConfig const&) const = default;
};

struct Impersonation {
  std::string user;
  std::string uid;
  std::vector<std::string> groups;
  std::map<std::string, std::vector<std::string>> extra;
  bool operator==(Impersonation const&) const = default;
};

struct UserEntry {
  std::string origin;
  std::string client_certificate;
  std::string client_certificate_data;
  std::string client_key;
  std::string client_key_data;
  std::string token;
  std::string token_file;
  std::string username;
  std::string password;
  Impersonation impersonation;
  std::string auth_provider;  // its name; empty = none
  std::optional<ExecConfig> exec;
  bool operator==(UserEntry const&) const = default;
};

struct ContextEntry {
  std::string origin;
  std::string cluster;
  std::string user;
  std::string namespace_;
  bool operator==(ContextEntry const&) const = default;
};

struct Kubeconfig {
  // That the rules name, absolute, in order, missing ones too: to watch.
  std::vector<std::string> files;
  std::vector<std::string> loaded;  // those of them that are there
  std::string current_context;
  std::map<std::string, ClusterEntry> clusters;
  std::map<std::string, UserEntry> users;
  std::map<std::string, ContextEntry> contexts;
  bool in_cluster = false;            // no file had anything, and this process runs in a pod
  std::vector<std::string> warnings;  // such as: no file of KUBECONFIG exists
  bool operator==(Kubeconfig const&) const = default;
};

// The files that the rules below name, absolute, in order; they need not exist.
std::vector<std::string> kubeconfig_files(std::string const& explicit_path,
                                          Environment const& environment);

// The text of a kubeconfig file at an absolute path to its entries: parse_kubeconfig, or what
// remembers its answers.
using KubeconfigParser =
    std::function<Result<Kubeconfig>(std::string const& text, std::string const& path)>;

// `explicit_path` (--kubeconfig, or of the configuration file): only that file, and it must exist.
// Empty: each of $KUBECONFIG (separated by colons, missing ones skipped), else $HOME/.kube/config.
// Per entry name the first file wins entirely; current-context is that of the first file that sets
// it. Errc::kubeconfig: "FILE: what is wrong".
Result<Kubeconfig> load_kubeconfig(std::string const& explicit_path, Environment const& environment,
                                   KubeconfigParser const& parse = {});

struct Server {
  bool tls = true;
  std::string host;  // name or address, IPv6 without brackets
  std::uint16_t port = 443;
  std::string
      path_prefix;  // empty, or "/rancher/c-1": begins with a slash and does not end with one
  bool operator==(Server const&) const = default;
};

// What the server is to be trusted by, and what we show it. All PEM text, never file names.
struct ServerTls {
  std::string ca_pem;     // empty = the system's roots
  std::string ca_source;  // where it was written, for messages
  std::string cert_pem;
  std::string key_pem;
  std::string cert_source;  // where those two were written, for messages
  std::string server_name;  // empty = the host
  bool insecure = false;    // any certificate will do
  bool operator==(ServerTls const&) const = default;
};

// What a plugin is told of the cluster if its configuration asks for it.
struct ExecClusterInfo {
  std::string server;  // as written
  std::string tls_server_name;
  bool insecure_skip_tls_verify = false;
  std::string ca_pem;
  std::string proxy_url;  // as written
  bool disable_compression = false;
  std::string config;  // JSON; empty = none
  bool operator==(ExecClusterInfo const&) const = default;
};

struct Auth {
  std::string token;
  std::string token_file;  // absolute; wins over `token` while it is readable
  std::string username;    // basic authentication if not empty
  std::string password;
  Impersonation impersonation;
  std::optional<ExecConfig> exec;  // only where there is no other credential
  std::optional<ExecClusterInfo> exec_cluster;
  bool operator==(Auth const&) const = default;
};

// All that is needed to reach one API server as one user. Equal ones share connections.
struct ClusterAccess {
  Server server;
  ServerTls tls;
  Auth auth;
  std::optional<net::Proxy> proxy;  // of the kubeconfig or the environment
  bool operator==(ClusterAccess const&) const = default;
};

// An entry and the file that defined it, for people.
struct Origin {
  std::string name;
  std::string file;
  bool operator==(Origin const&) const = default;
};

struct ResolvedContext {
  std::string context;     // empty = in-cluster
  std::string namespace_;  // of the context, else "default"
  ClusterAccess access;
  std::string context_file;  // that defined it; the three are empty in-cluster
  Origin cluster;
  Origin user;  // empty = the context names none
  std::vector<std::string> warnings;
  bool operator==(ResolvedContext const&) const = default;
};

// The named context ("" = the current one), with its CA, certificate and key files read now; a
// token file is not read here. User credentials are left out for a server without TLS, as kubectl
// does. Errc::no_such_context, Errc::kubeconfig, Errc::unsupported (auth provider).
Result<ResolvedContext> resolve_context(Kubeconfig const& kubeconfig, std::string const& context,
                                        Environment const& environment);

// The files that the context ("" = the current one) names: CA, certificate, key, token. All that
// can be known of them, also where it cannot be resolved: to watch, beside Kubeconfig::files.
std::vector<std::string> files_of_context(Kubeconfig const& kubeconfig, std::string const& context);

}  // namespace kportal::k8s
