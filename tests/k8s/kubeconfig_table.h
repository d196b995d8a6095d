// SPDX-License-Identifier: MIT
// The rows of the kubeconfig table: texts only, and what is to arrive. Who plays them is
// kubeconfig_table_test.
#pragma once

#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace kportal::k8s {

// In the texts @A@, @B@ (https) and @PLAIN@ (http) stand for servers, @APORT@ and @PLAINHOST@ for
// parts of their URLs, @CA@, @OTHERCA@, @CERT@ and @KEY@ for PEM in base64 (the certificate is
// anna's), @DIR@ for the row's directory. There and in sub/ lie ca.pem, cert.pem, key.pem, token
// ("from-file"), empty; beside them login.sh, an exec plugin that gives "from-plugin".
struct KubeconfigRow {
  std::string name;
  std::vector<std::pair<std::string, std::string>> files;
  // "SERVER[/PREFIX] NAMESPACE [cert:USER] [Authorization] [Impersonate-...]", or "refused".
  std::string expected;
  std::optional<std::string> kubectl = std::nullopt;  // if it does otherwise
  std::optional<std::string> list = "kubeconfig";     // KUBECONFIG
  std::string explicit_path = {};
  std::string context = {};
};

std::vector<KubeconfigRow> kubeconfig_table();

}  // namespace kportal::k8s
