// SPDX-License-Identifier: MIT
#include "lab/kubeconfig.h"

#include <fmt/format.h>
#include <openssl/evp.h>

namespace kportal::lab {
namespace {

std::string base64(std::string const& text) {
  std::string result((text.size() + 2) / 3 * 4 + 1, '\0');
  auto const size = EVP_EncodeBlock(reinterpret_cast<unsigned char*>(result.data()),
                                    reinterpret_cast<unsigned char const*>(text.data()),
                                    static_cast<int>(text.size()));
  result.resize(static_cast<std::size_t>(size));
  return result;
}

std::string user_text(KubeconfigOptions const& options, KubeconfigSecrets const& secrets) {
  if (options.no_credentials) return "{}";
  if (!options.token.empty()) return fmt::format("{{token: \"{}\"}}", options.token);
  return fmt::format("\n    client-certificate-data: {}\n    client-key-data: {}",
                     base64(secrets.certificate_pem), base64(secrets.key_pem));
}

}  // namespace

std::string kubeconfig_text(std::vector<KubeconfigOptions> const& contexts,
                            KubeconfigSecrets const& secrets) {
  std::string clusters = "clusters:\n";
  std::string users = "users:\n";
  std::string list = "contexts:\n";
  for (auto const& each : contexts) {
    clusters += fmt::format(
        "- name: {}\n  cluster:\n    server: {}\n    certificate-authority-data: {}\n",
        each.context, each.server.empty() ? secrets.server : each.server, base64(secrets.ca_pem));
    users += fmt::format("- name: {}\n  user: {}\n", each.context, user_text(each, secrets));
    list += fmt::format("- name: {0}\n  context: {{cluster: {0}, user: {0}, namespace: {1}}}\n",
                        each.context, each.namespace_);
  }
  auto const current = contexts.empty() ? std::string() : contexts.front().context;
  return fmt::format("apiVersion: v1\nkind: Config\ncurrent-context: \"{}\"\n{}{}{}", current,
                     clusters, users, list);
}

}  // namespace kportal::lab
