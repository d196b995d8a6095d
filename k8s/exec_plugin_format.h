// SPDX-License-Identifier: MIT
// What a login plugin is told and what it answers (client.authentication.k8s.io/v1 and v1beta1,
// protocol.md 5.3), and what to say of one that failed. Pure: it runs nothing and asks no clock.
// No error here shows what a plugin wrote to standard output, for that is where secrets are.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "base/printable.h"
#include "base/spawn.h"
#include "k8s/kubeconfig.h"

namespace kportal::k8s {

struct PluginCredential {
  std::string token;  // may stand in a header; empty = none
  std::string cert_pem;
  std::string key_pem;
  std::optional<WallTime> expires;

  PluginCredential() = default;
};

// "aws" of "/opt/bin/aws", as errors call it.
std::string plugin_name(ExecConfig const& config);

// The value of KUBERNETES_EXEC_INFO.
std::string exec_info(ExecConfig const& config, std::optional<ExecClusterInfo> const& cluster,
                      bool interactive);

// What it said to a run that ended, as a credential that is good at `now`. All its errors are
// Errc::auth_plugin, begin with the plugin's name and say what happened and what may help.
Result<PluginCredential> read_plugin_answer(ExecConfig const& config, ChildEnd const& end,
                                            Duration time_limit, WallTime now);

// Why it could not be started: not found (with the installHint), not executable, ... Errc::local
// where descriptors or memory lack, which passes.
// `searched`: the PATHs it was looked for in; empty for a command that is a path.
Error plugin_not_started(ExecConfig const& config, error_code why,
                         std::vector<std::string> const& searched);

// What to tell people of a run that goes on; `errors`: of its standard error so far.
std::string plugin_is_slow(ExecConfig const& config, Duration since, Duration time_limit,
                           std::string_view errors);

// 2026-11-23T14:05:01Z, with fractions and offsets (RFC 3339).
std::optional<WallTime> parse_timestamp(std::string_view text);

}  // namespace kportal::k8s
