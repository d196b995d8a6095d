// SPDX-License-Identifier: MIT
// Kubeconfig texts for the lab: contexts with everything inline, so that one file is enough for
// kubectl and for us. It writes them; reading them is k8s/kubeconfig's.
#pragma once

#include <string>
#include <vector>

namespace kportal::lab {

// One context of a kubeconfig. With a token it is that user; else the admin by client certificate.
struct KubeconfigOptions {
  std::string context = "lab";
  std::string namespace_ = "default";
  std::string token;
  bool no_credentials = false;
  std::string server;  // empty: https://ADDRESS:PORT of the ApiServer
};

struct KubeconfigSecrets {
  std::string server;
  std::string ca_pem;
  std::string certificate_pem;
  std::string key_pem;
};

// The first context is the current one.
std::string kubeconfig_text(std::vector<KubeconfigOptions> const& contexts,
                            KubeconfigSecrets const& secrets);

}  // namespace kportal::lab
