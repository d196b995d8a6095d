// SPDX-License-Identifier: MIT
#include "k8s/kubeconfig.h"

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <iterator>

#include <fmt/format.h>

#include "base/descriptors.h"
#include "k8s/kubeconfig_yaml.h"
#include "k8s/proxy_environment.h"

namespace kportal::k8s {
namespace {

constexpr std::string_view kServiceAccount = "/var/run/secrets/kubernetes.io/serviceaccount/";
constexpr std::size_t kMaxListedContexts = 10;
// Of a domain name.
constexpr std::size_t kMaxHost = 253;
// Of a path in front of all others, and of anything that goes into a header.
constexpr std::size_t kMaxPrefix = 4096;
constexpr std::size_t kMaxHeaderText = 64 * 1024;
// Longer names are not compared for "did you mean".
constexpr std::size_t kMaxComparedName = 256;

std::string absolute_path(std::string const& path, Environment const& environment) {
  return (std::filesystem::path(environment.working_directory) / path).lexically_normal().string();
}

bool is_missing(error_code code) {
  return code == boost::system::errc::no_such_file_or_directory;
}

std::string describe(error_code code, std::size_t limit) {
  if (code == boost::system::errc::file_too_large) {
    return fmt::format("is larger than {} KiB", limit / 1024);
  }
  if (code == boost::system::errc::no_message) {
    return "is a pipe, which can be read but once: write it to a file";
  }
  return "cannot be read: " + cause_of(code);
}

std::string variable(Environment const& environment, char const* name) {
  return environment.variable(name).value_or(std::string());
}

// ---- which files, and their merging

std::vector<std::string> default_files(Environment const& environment) {
  std::vector<std::string> files;
  std::string const list = variable(environment, "KUBECONFIG");
  if (list.empty()) {
    std::string const home = variable(environment, "HOME");
    if (!home.empty()) files.push_back(absolute_path(home + "/.kube/config", environment));
    return files;
  }
  std::string_view rest = list;
  for (;;) {
    std::size_t const colon = rest.find(':');
    std::string_view const part = rest.substr(0, colon);
    std::string path = part.empty() ? "" : absolute_path(std::string(part), environment);
    if (!path.empty() && std::ranges::find(files, path) == files.end()) {
      files.push_back(std::move(path));
    }
    if (colon == std::string_view::npos) return files;
    rest.remove_prefix(colon + 1);
  }
}

// What `config` has already stays.
void merge(Kubeconfig& config, Kubeconfig&& later) {
  config.clusters.merge(later.clusters);
  config.users.merge(later.users);
  config.contexts.merge(later.contexts);
  if (config.current_context.empty()) config.current_context = std::move(later.current_context);
  std::ranges::move(later.warnings, std::back_inserter(config.warnings));
}

bool is_empty(Kubeconfig const& config) {
  return config.clusters.empty() && config.users.empty() && config.contexts.empty() &&
         config.current_context.empty();
}

std::string account_file(char const* name) {
  return std::string(kServiceAccount) + name;
}

bool runs_in_cluster(Environment const& environment) {
  return !variable(environment, "KUBERNETES_SERVICE_HOST").empty() &&
         !variable(environment, "KUBERNETES_SERVICE_PORT").empty() &&
         environment.read_file(account_file("token"), kMaxPemFileSize).has_value();
}

// ---- a server's address

Error bad_server(std::string_view why) {
  return {Errc::kubeconfig, fmt::format("server {}: write it as https://HOST:PORT", why)};
}

std::optional<std::uint16_t> to_port(std::string_view text) {
  std::uint16_t port = 0;
  char const* const end = text.data() + text.size();
  auto const [stop, problem] = std::from_chars(text.data(), end, port);
  if (problem != std::errc{} || stop != end || port == 0) return std::nullopt;
  return port;
}

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}
bool is_ipv6(std::string_view host) {
  return host.find(':') != std::string_view::npos && std::ranges::all_of(host, [](char c) {
           return is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F') || c == ':' ||
                  c == '.';
         });
}

bool is_name(std::string_view host) {
  return !host.empty() && host.size() <= kMaxHost && std::ranges::all_of(host, [](char c) {
    bool const letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
    return letter || is_digit(c) || c == '.' || c == '-' || c == '_';
  });
}

bool is_path(std::string_view path) {
  return path.size() <= kMaxPrefix &&
         std::ranges::all_of(path, [](char c) { return c > 0x20 && c < 0x7F; });
}

Result<Server> parse_authority(std::string_view authority, bool tls) {
  Server server{tls, "", tls ? std::uint16_t{443} : std::uint16_t{80}, ""};
  if (authority.find('@') != std::string_view::npos) {
    return bad_server("has a user name in it, which belongs under users");
  }
  bool const bracketed = authority.starts_with('[');
  std::size_t const end = bracketed ? authority.find(']') : authority.find(':');
  server.host = authority.substr(bracketed ? 1 : 0, bracketed ? end - 1 : end);
  std::string_view rest = end == std::string_view::npos ? "" : authority.substr(end);
  if (bracketed && !rest.empty()) rest.remove_prefix(1);
  bool const valid = bracketed ? is_ipv6(server.host) : is_name(server.host);
  if (!valid || (bracketed && end == std::string_view::npos)) {
    return bad_server("has no valid host");
  }
  if (rest.empty() || rest == ":") return server;
  auto const port = rest.front() == ':' ? to_port(rest.substr(1)) : std::nullopt;
  if (!port) return bad_server("has no valid port");
  server.port = *port;
  return server;
}

// As client-go's DefaultServerURL: without a scheme it is https if something of TLS is configured.
Result<Server> parse_server(std::string_view url, bool tls_without_scheme) {
  bool tls = tls_without_scheme;
  std::size_t const scheme_end = url.find("://");
  bool const has_scheme = scheme_end != std::string_view::npos;
  if (has_scheme) {
    std::string scheme(url.substr(0, scheme_end));
    for (char& c : scheme) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c + 0x20) : c;
    if (scheme != "https" && scheme != "http") return bad_server("is neither https nor http");
    tls = scheme == "https";
    url.remove_prefix(scheme_end + 3);
  }
  url = url.substr(0, url.find_first_of("?#"));
  std::size_t const slash = std::min(url.find('/'), url.size());
  auto server = parse_authority(url.substr(0, slash), tls);
  if (!server) return server;
  std::string_view path = url.substr(slash);
  while (path.ends_with('/')) path.remove_suffix(1);
  if (!is_path(path) || (!has_scheme && !path.empty())) return bad_server("has no valid path");
  server->path_prefix = path;
  return server;
}

// ---- did you mean

std::size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> row(b.size() + 1);
  for (std::size_t j = 0; j <= b.size(); ++j) row[j] = j;
  for (std::size_t i = 1; i <= a.size(); ++i) {
    std::size_t diagonal = std::exchange(row[0], i);
    for (std::size_t j = 1; j <= b.size(); ++j) {
      std::size_t const replaced = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
      diagonal = std::exchange(row[j], std::min({row[j] + 1, row[j - 1] + 1, replaced}));
    }
  }
  return row.back();
}

std::string const* closest(std::map<std::string, ContextEntry> const& contexts,
                           std::string const& name) {
  std::string const* best = nullptr;
  if (name.size() > kMaxComparedName) return best;
  std::size_t best_distance = std::max<std::size_t>(2, name.size() / 3) + 1;
  for (auto const& [candidate, entry] : contexts) {
    if (candidate.size() > kMaxComparedName) continue;
    std::size_t const distance = edit_distance(candidate, name);
    if (distance < best_distance) {
      best = &candidate;
      best_distance = distance;
    }
  }
  return best;
}

std::string list_contexts(Kubeconfig const& kubeconfig) {
  if (kubeconfig.contexts.empty() && kubeconfig.loaded.empty()) {
    if (kubeconfig.files.empty()) return "there is no kubeconfig, and no HOME to look for one";
    return fmt::format("there is no kubeconfig: {} {}", fmt::join(kubeconfig.files, ", "),
                       kubeconfig.files.size() == 1 ? "is not there" : "are not there");
  }
  if (kubeconfig.contexts.empty()) {
    return fmt::format("no contexts are defined in {}", fmt::join(kubeconfig.files, ", "));
  }
  std::vector<std::string_view> names;
  for (auto const& [name, entry] : kubeconfig.contexts) {
    if (names.size() == kMaxListedContexts) break;
    names.push_back(name);
  }
  std::size_t const more = kubeconfig.contexts.size() - names.size();
  return fmt::format("there are: {}{}", fmt::join(names, ", "),
                     more == 0 ? "" : fmt::format(" and {} more", more));
}

Error no_such_context(Kubeconfig const& kubeconfig, std::string const& name) {
  std::string const* const close = closest(kubeconfig.contexts, name);
  return {Errc::no_such_context,
          fmt::format("no context \"{}\" in the kubeconfig{}; {}", name,
                      close == nullptr ? "" : fmt::format(" (did you mean \"{}\"?)", *close),
                      list_contexts(kubeconfig))};
}

// ---- one context

// Collects what one context means; the first problem ends it. Problems name file and entry.
class Resolver {
 public:
  Resolver(Kubeconfig const& kubeconfig, Environment const& environment)
      : kubeconfig_(kubeconfig), environment_(environment) {}

  Result<ResolvedContext> resolve(std::string const& name) {
    ContextEntry const& context = kubeconfig_.contexts.at(name);
    result_.context = name;
    result_.namespace_ = context.namespace_.empty() ? "default" : context.namespace_;
    enter(context.origin, "context", name);
    auto const cluster = kubeconfig_.clusters.find(context.cluster);
    auto const user = kubeconfig_.users.find(context.user);
    if (context.cluster.empty()) {
      fail("it names no cluster");
    } else if (cluster == kubeconfig_.clusters.end()) {
      fail(fmt::format("its cluster \"{}\" is not defined under clusters", context.cluster));
    } else if (!context.user.empty() && user == kubeconfig_.users.end()) {
      fail(fmt::format("its user \"{}\" is not defined under users", context.user));
    }
    result_.context_file = context.origin;
    if (!error_) {
      result_.cluster = {cluster->first, cluster->second.origin};
      enter(cluster->second.origin, "cluster", cluster->first);
      apply_cluster(cluster->second);
    }
    if (!error_ && !context.user.empty()) {
      result_.user = {user->first, user->second.origin};
      enter(user->second.origin, "user", user->first);
      apply_user(user->second, cluster->second);
    }
    if (error_) return *std::move(error_);
    return std::move(result_);
  }

 private:
  void enter(std::string const& file, std::string_view kind, std::string const& name) {
    where_ = fmt::format("{}: {} \"{}\"", file, kind, name);
  }
  void fail(std::string_view what, Errc code = Errc::kubeconfig) {
    if (!error_) error_ = Error(code, fmt::format("{}: {}", where_, what));
  }
  // A problem that no entry of the kubeconfig has.
  void fail_everywhere(Error const& error) {
    if (!error_) error_ = error;
  }
  void warn(std::string_view what) {
    result_.warnings.push_back(fmt::format("{}: {}", where_, what));
  }

  // They go into request lines and headers, where a line break would begin another header.
  void check_text(std::string_view key, std::string_view value) {
    bool const control = std::ranges::any_of(
        value, [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7F; });
    if (control) fail(fmt::format("{} has control characters or line breaks", key));
    if (value.size() > kMaxHeaderText) {
      fail(fmt::format("{} is longer than {} KiB", key, kMaxHeaderText / 1024));
    }
  }

  void check_one_of(std::string_view key, std::string const& file, std::string const& data) {
    if (!file.empty() && !data.empty()) {
      fail(fmt::format("{0} and {0}-data are both set: remove one", key));
    }
  }

  // The data, or what the file holds.
  std::string load(std::string_view key, std::string const& file, std::string const& data) {
    if (file.empty() || error_) return data;
    check_text(key, file);
    if (error_) return {};
    auto text = environment_.read_file(file, kMaxPemFileSize);
    if (!text) {
      fail(fmt::format("{} {} {}", key, file, describe(text.error(), kMaxPemFileSize)));
      return {};
    }
    if (text->empty()) fail(fmt::format("{} {} is empty", key, file));
    return *std::move(text);
  }

  void apply_cluster(ClusterEntry const& cluster) {
    bool const has_ca =
        !cluster.certificate_authority.empty() || !cluster.certificate_authority_data.empty();
    if (cluster.server.empty()) return fail("it has no server");
    auto server = parse_server(cluster.server, has_ca || cluster.insecure_skip_tls_verify);
    if (!server) return fail(server.error().text);
    result_.access.server = std::move(*server);
    check_one_of("certificate-authority", cluster.certificate_authority,
                 cluster.certificate_authority_data);
    choose_proxy(cluster.proxy_url);
    if (error_ || !result_.access.server.tls) return;
    if (has_ca && cluster.insecure_skip_tls_verify) {
      return fail(
          "insecure-skip-tls-verify and a certificate-authority exclude each other: "
          "remove insecure-skip-tls-verify");
    }
    check_text("tls-server-name", cluster.tls_server_name);
    ServerTls& tls = result_.access.tls;
    tls.server_name = cluster.tls_server_name;
    tls.insecure = cluster.insecure_skip_tls_verify;
    tls.ca_pem = load("certificate-authority", cluster.certificate_authority,
                      cluster.certificate_authority_data);
    if (!cluster.certificate_authority_data.empty()) {
      tls.ca_source = where_ + ": certificate-authority-data";
    } else {
      tls.ca_source = cluster.certificate_authority;
    }
    if (tls.insecure) {
      warn(
          "insecure-skip-tls-verify: whoever answers for this server is believed and gets the "
          "credentials");
    }
  }

  // The URL is never shown: it may hold a password.
  void choose_proxy(std::string const& url) {
    if (error_) return;
    if (url.empty()) {
      auto proxy = environment_proxy(result_.access.server, environment_);
      if (!proxy) return fail_everywhere(proxy.error());
      result_.access.proxy = std::move(*proxy);
      return;
    }
    auto proxy = parse_proxy_url(url);
    if (!proxy) return fail(fmt::format("proxy-url {}", proxy.error().text));
    result_.access.proxy = std::move(*proxy);
  }

  void apply_user(UserEntry const& user, ClusterEntry const& cluster) {
    check_user(user);
    check_exec(user);
    if (error_) return;
    result_.access.auth.impersonation = user.impersonation;
    bool const has_certificate =
        !user.client_certificate.empty() || !user.client_certificate_data.empty();
    bool const has_secret =
        !user.token.empty() || !user.token_file.empty() || !user.username.empty();
    if (!result_.access.server.tls) {
      if (has_certificate || has_secret || user.exec || !user.auth_provider.empty()) {
        warn("its credentials are not sent, because the server is not https");
      }
      return;
    }
    if (!has_certificate && !has_secret) apply_plugin(user, cluster);
    Auth& auth = result_.access.auth;
    auth.token = user.token;
    auth.token_file = user.token_file;
    auth.username = user.username;
    auth.password = user.password;
    if (!has_certificate) return;
    ServerTls& tls = result_.access.tls;
    tls.cert_pem =
        load("client-certificate", user.client_certificate, user.client_certificate_data);
    tls.key_pem = load("client-key", user.client_key, user.client_key_data);
    tls.cert_source = where_;
  }

  void check_user(UserEntry const& user) {
    bool const has_token = !user.token.empty() || !user.token_file.empty();
    bool const has_key = !user.client_key.empty() || !user.client_key_data.empty();
    bool const has_certificate =
        !user.client_certificate.empty() || !user.client_certificate_data.empty();
    check_one_of("client-certificate", user.client_certificate, user.client_certificate_data);
    check_one_of("client-key", user.client_key, user.client_key_data);
    if (has_certificate && !has_key) fail("client-certificate is set but client-key is not");
    if (has_key && !has_certificate) warn("client-key is not used: client-certificate is not set");
    if (has_token && (!user.username.empty() || !user.password.empty())) {
      fail("a token and username/password are both set: remove one");
    }
    check_text("token", user.token);
    check_text("tokenFile", user.token_file);
    check_impersonation(user.impersonation);
  }

  void check_impersonation(Impersonation const& as) {
    bool const more = !as.uid.empty() || !as.groups.empty() || !as.extra.empty();
    if (more && as.user.empty()) {
      fail("as-uid, as-groups and as-user-extra need as, the user to act as");
    }
    check_text("as", as.user);
    check_text("as-uid", as.uid);
    for (std::string const& group : as.groups) check_text("as-groups", group);
    for (auto const& [key, values] : as.extra) {
      for (std::string const& value : values) check_text("as-user-extra", value);
    }
  }

  void check_exec(UserEntry const& user) {
    if (!user.exec) return;
    ExecConfig const& exec = *user.exec;
    std::string const& mode = exec.interactive_mode;
    bool const v1 = exec.api_version == "client.authentication.k8s.io/v1";
    if (!user.auth_provider.empty()) fail("exec and auth-provider are both set: remove one");
    if (exec.command.empty()) fail("exec has no command");
    if (exec.api_version.empty()) fail("exec has no apiVersion");
    if (!v1 && exec.api_version != "client.authentication.k8s.io/v1beta1") {
      fail(
          "exec: apiVersion is not client.authentication.k8s.io/v1 or v1beta1: update the plugin's "
          "configuration");
    }
    if (v1 && mode.empty()) fail("exec: interactiveMode is missing: Never, IfAvailable or Always");
    if (!mode.empty() && mode != "Never" && mode != "IfAvailable" && mode != "Always") {
      fail("exec: interactiveMode is not Never, IfAvailable or Always");
    }
    for (auto const& [name, value] : exec.env) {
      if (name.empty()) fail("exec: an env variable has no name");
    }
  }

  // Only where there is no other credential, as client-go does.
  void apply_plugin(UserEntry const& user, ClusterEntry const& cluster) {
    if (!user.auth_provider.empty()) return refuse_provider(user.auth_provider);
    if (!user.exec) return;
    Auth& auth = result_.access.auth;
    auth.exec = user.exec;
    if (!user.exec->provide_cluster_info) return;
    ExecClusterInfo info;
    info.server = cluster.server;
    info.tls_server_name = cluster.tls_server_name;
    info.insecure_skip_tls_verify = cluster.insecure_skip_tls_verify;
    info.ca_pem = result_.access.tls.ca_pem;
    info.proxy_url = cluster.proxy_url;
    info.disable_compression = cluster.disable_compression;
    info.config = cluster.exec_extension;
    auth.exec_cluster = std::move(info);
  }

  void refuse_provider(std::string const& name) {
    std::string_view cure = "use an exec plugin or a token";
    if (name == "gcp") {
      cure =
          "it was removed from Kubernetes; install gke-gcloud-auth-plugin and run gcloud container "
          "clusters get-credentials";
    } else if (name == "azure") {
      cure =
          "it was removed from Kubernetes; install kubelogin and run kubelogin convert-kubeconfig";
    } else if (name == "oidc") {
      cure = "use the exec plugin kubectl oidc-login, or a token";
    }
    fail(fmt::format("auth-provider {} is not supported: {}", name, cure), Errc::unsupported);
  }

  Kubeconfig const& kubeconfig_;
  Environment const& environment_;
  ResolvedContext result_;
  std::string where_;
  std::optional<Error> error_;
};

Result<ResolvedContext> resolve_in_cluster(Environment const& environment) {
  ResolvedContext result;
  auto const port = to_port(variable(environment, "KUBERNETES_SERVICE_PORT"));
  std::string host = variable(environment, "KUBERNETES_SERVICE_HOST");
  if (!port || (!is_name(host) && !is_ipv6(host))) {
    return Error(Errc::kubeconfig,
                 "in-cluster: KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT are no address");
  }
  result.access.server = {true, std::move(host), *port, ""};
  auto proxy = environment_proxy(result.access.server, environment);
  if (!proxy) return proxy.error();
  result.access.proxy = std::move(*proxy);
  auto ca = environment.read_file(account_file("ca.crt"), kMaxPemFileSize);
  if (ca) {
    result.access.tls.ca_pem = *std::move(ca);
    result.access.tls.ca_source = account_file("ca.crt");
  } else {
    result.warnings.push_back(fmt::format("in-cluster: {} {}", account_file("ca.crt"),
                                          describe(ca.error(), kMaxPemFileSize)));
  }
  result.access.auth.token_file = account_file("token");
  result.namespace_ = variable(environment, "POD_NAMESPACE");
  if (result.namespace_.empty()) {
    auto const text = environment.read_file(account_file("namespace"), kMaxPemFileSize);
    std::string_view name = text ? std::string_view(*text) : std::string_view();
    while (!name.empty() && (name.back() == '\n' || name.back() == ' ')) name.remove_suffix(1);
    result.namespace_ = name.empty() ? "default" : name;
  }
  return result;
}

}  // namespace

std::vector<std::string> kubeconfig_files(std::string const& explicit_path,
                                          Environment const& environment) {
  if (explicit_path.empty()) return default_files(environment);
  return {absolute_path(explicit_path, environment)};
}

Result<Kubeconfig> load_kubeconfig(std::string const& explicit_path, Environment const& environment,
                                   KubeconfigParser const& parse) {
  Kubeconfig config;
  bool const is_explicit = !explicit_path.empty();
  config.files = kubeconfig_files(explicit_path, environment);
  for (std::string const& path : config.files) {
    auto const text = environment.read_file(path, kMaxKubeconfigSize);
    if (!text) {
      if (is_missing(text.error()) && !is_explicit) continue;
      return Error(Errc::kubeconfig,
                   fmt::format("{} {}", path, describe(text.error(), kMaxKubeconfigSize)));
    }
    auto parsed = parse ? parse(*text, path) : parse_kubeconfig(*text, path);
    if (!parsed) return parsed.error();
    merge(config, std::move(*parsed));
    config.loaded.push_back(path);
  }
  if (config.loaded.empty() && !variable(environment, "KUBECONFIG").empty()) {
    config.warnings.push_back(
        fmt::format("KUBECONFIG names no file that exists: {}", fmt::join(config.files, ", ")));
  }
  config.in_cluster = !is_explicit && is_empty(config) && runs_in_cluster(environment);
  return config;
}

Result<ResolvedContext> resolve_context(Kubeconfig const& kubeconfig, std::string const& context,
                                        Environment const& environment) {
  std::string const& name = context.empty() ? kubeconfig.current_context : context;
  if (name.empty() && kubeconfig.in_cluster) return resolve_in_cluster(environment);
  if (name.empty()) {
    return Error(
        Errc::no_such_context,
        fmt::format("no context is named{}; {}",
                    kubeconfig.loaded.empty() ? "" : ", and the kubeconfig has no current one",
                    list_contexts(kubeconfig)));
  }
  if (!kubeconfig.contexts.contains(name)) return no_such_context(kubeconfig, name);
  return Resolver(kubeconfig, environment).resolve(name);
}

std::vector<std::string> files_of_context(Kubeconfig const& kubeconfig,
                                          std::string const& context) {
  std::string const& name = context.empty() ? kubeconfig.current_context : context;
  std::vector<std::string> files;
  auto const add = [&](std::string const& file) {
    if (!file.empty()) files.push_back(file);
  };
  if (name.empty() && kubeconfig.in_cluster) {
    for (char const* const file : {"ca.crt", "token", "namespace"}) add(account_file(file));
  }
  auto const entry = kubeconfig.contexts.find(name);
  if (entry == kubeconfig.contexts.end()) return files;
  auto const cluster = kubeconfig.clusters.find(entry->second.cluster);
  if (cluster != kubeconfig.clusters.end()) add(cluster->second.certificate_authority);
  auto const user = kubeconfig.users.find(entry->second.user);
  if (user == kubeconfig.users.end()) return files;
  add(user->second.client_certificate);
  add(user->second.client_key);
  add(user->second.token_file);
  return files;
}

}  // namespace kportal::k8s
