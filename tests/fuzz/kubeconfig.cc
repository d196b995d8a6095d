// SPDX-License-Identifier: MIT
// Fuzzer of the kubeconfig: one or two files, separated by a zero byte, on a machine whose other
// files are all there; then each of its contexts is resolved.
#include "k8s/kubeconfig.h"

#include <algorithm>

#include <nlohmann/json.hpp>

#include "tests/fuzz/fuzz.h"

namespace kportal::k8s {
namespace {

using fuzz::require;

// Of what a cluster's entry tells a login plugin.
constexpr std::size_t kMaxExtension = 128 * 1024;

Environment machine(std::vector<std::string> const& files) {
  Environment environment;
  environment.working_directory = "/work";
  environment.variable = [](std::string const& name) -> std::optional<std::string> {
    if (name == "KUBECONFIG") return "/k/0:/k/1";
    if (name == "HTTPS_PROXY") return "http://proxy.test:3128";
    if (name == "NO_PROXY") return ".local,10.0.0.0/8";
    return std::nullopt;
  };
  environment.read_file = [&files](std::string const& path,
                                   std::size_t limit) -> boost::system::result<std::string> {
    namespace errc = boost::system::errc;
    if (path == "/k/0") return files[0];
    if (path == "/k/1" && files.size() > 1) return files[1];
    if (path == "/k/1") return error_code(make_error_code(errc::no_such_file_or_directory));
    require(!path.empty() && path.front() == '/' && limit == kMaxPemFileSize);
    return "-----BEGIN CERTIFICATE-----\n";
  };
  return environment;
}

// Secrets that stand nowhere else in the files are in no message.
void check_secret(std::string const& secret, std::vector<std::string> const& files,
                  std::string const& message) {
  // Others may be words of our own.
  if (secret.find("Zq9X") == std::string::npos || message.find(secret) == std::string::npos) return;
  std::size_t times = 0;
  for (std::string const& file : files) {
    for (auto at = file.find(secret); at != std::string::npos; at = file.find(secret, at + 1)) {
      ++times;
    }
  }
  require(times != 1);
}

void check_message(Error const& error, Kubeconfig const& config,
                   std::vector<std::string> const& files) {
  require(!error.text.empty() && fuzz::is_one_clean_line(error.text));
  for (auto const& [name, user] : config.users) {
    check_secret(user.token, files, error.text);
    check_secret(user.password, files, error.text);
  }
}

void check_resolved(ResolvedContext const& resolved) {
  Server const& server = resolved.access.server;
  require(!server.host.empty() && server.port != 0 && fuzz::is_one_clean_line(server.host));
  std::string const& prefix = server.path_prefix;
  require(prefix.empty() || (prefix.front() == '/' && prefix.back() != '/'));
  require(fuzz::is_one_clean_line(prefix) && !resolved.namespace_.empty());
  Auth const& auth = resolved.access.auth;
  require(fuzz::is_one_clean_line(auth.token) && fuzz::is_one_clean_line(auth.impersonation.user));
  if (!server.tls) require(auth.token.empty() && auth.username.empty() && !auth.exec);
  if (!auth.exec) return;
  require(!auth.exec->command.empty());
  if (!auth.exec_cluster || auth.exec_cluster->config.empty()) return;
  require(nlohmann::json::accept(auth.exec_cluster->config));
  require(auth.exec_cluster->config.size() <= kMaxExtension);
}

void run(fuzz::Input input) {
  std::vector<std::string> files;
  do files.emplace_back(input.line());
  while (!input.empty() && files.size() < 2);
  Environment const environment = machine(files);
  auto const config = load_kubeconfig("", environment);
  if (!config) {
    require(config.error().code == Errc::kubeconfig);
    return check_message(config.error(), {}, files);
  }
  auto const again = load_kubeconfig("", environment);
  require(again.has_value() && *again == *config);
  require(config->files.size() == 2);
  std::vector<std::string> contexts{"", "nowhere"};
  for (auto const& [name, context] : config->contexts) {
    if (contexts.size() < 20) contexts.push_back(name);
  }
  for (std::string const& context : contexts) {
    for (auto const& file : files_of_context(*config, context)) require(!file.empty());
    auto const resolved = resolve_context(*config, context, environment);
    if (resolved) {
      check_resolved(*resolved);
    } else {
      check_message(resolved.error(), *config, files);
    }
  }
}

}  // namespace
}  // namespace kportal::k8s

extern "C" int LLVMFuzzerTestOneInput(std::uint8_t const* data, std::size_t size) {
  kportal::fuzz::Budget const budget;
  kportal::k8s::run(kportal::fuzz::Input(data, size));
  return 0;
}
