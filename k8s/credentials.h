// SPDX-License-Identifier: MIT
// Credentials: who asks, for each request anew (REST and upgrades): headers, and the client
// certificate if a login plugin gave one (one of the kubeconfig belongs to the cluster's own TLS
// configuration). A token file is re-read through the FileReader it was given; plugins are run by
// ExecPlugins. One per Cluster; it can be asked alone, to see whether the login works.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "base/error.h"
#include "k8s/exec_plugin.h"
#include "k8s/kubeconfig.h"
#include "net/tls_context.h"

namespace kportal::k8s {

using RequestHeaders = std::vector<std::pair<std::string, std::string>>;

// One consistent set, good for requests that begin now. A request keeps the one it began with.
struct Identity {
  RequestHeaders headers;  // Authorization and Impersonate-*
  // The plugin's client certificate, as text and ready for tunnels. Empty and null: what the
  // cluster's own configuration says.
  std::string cert_pem;
  std::string key_pem;
  std::shared_ptr<net::TlsContext> tls;
  std::uint64_t generation = 1;  // another one for other credentials, never 0
  Duration login_time{};         // how long the plugin ran for it

  Identity() = default;
};
using SharedIdentity = std::shared_ptr<Identity const>;

class Credentials {
 public:
  static constexpr std::chrono::seconds kTokenFilePeriod{60};
  static constexpr std::size_t kMaxTokenFileSize = 64 * 1024;

  // Of one without a plugin.
  Credentials(Auth auth, FileReader read_file);
  // `tls`: the cluster's own, which a plugin's certificate is added to. `plugins` outlives it.
  Credentials(Auth auth, FileReader read_file, net::TlsConfig tls, ExecPlugins& plugins);
  ~Credentials();

  // What to send now. May wait for a login plugin, as long as that may run; an Identity that has
  // not expired is there at once. Errc::unauthorized: there never was a token to send;
  // Errc::auth_plugin; Errc::local: this machine is too short of something to start the plugin.
  awaitable<Result<SharedIdentity>> identity();
  // After a 401 to one of that generation: another one, by the token file or one more run of the
  // plugin, unless somebody else has got it meanwhile. Errc::unauthorized: there is no other.
  awaitable<Result<SharedIdentity>> renewed(std::uint64_t refused);

  // A plugin that failed just now may succeed: the next who asks has it run.
  void retry() {
    if (plugin_) (*plugin_)->retry();
  }

  // The plugin's name as messages call it; empty = there is none.
  std::string plugin() const { return plugin_ ? (*plugin_)->name() : std::string(); }
  // Somebody waits for the plugin, which may ask a person.
  bool logging_in() const { return plugin_ && (*plugin_)->awaited(); }

  // The headers of credentials without a plugin. Reads the token file if the last try is older than
  // kTokenFilePeriod; if that fails the last good token stays. Errc::unauthorized when there never
  // was a token to send.
  Result<RequestHeaders> headers(TimePoint now);
  // Reads the token file now. True if it holds another token than before.
  bool refresh(TimePoint now);

  // Has no plugin any more. Before destruction, when nobody asks.
  void stop() { plugin_.reset(); }

 private:
  bool read_token(TimePoint now);
  Result<SharedIdentity> without_plugin();
  Result<SharedIdentity> of_login(PluginLogin const& login);

  Auth auth_;
  net::TlsConfig tls_;
  FileReader read_file_;
  std::string token_;
  std::string problem_;  // why the last reading of the token file failed
  TimePoint next_read_ = TimePoint::min();
  std::uint64_t generation_ = 1;  // grows whenever headers() begins to give something else
  std::unique_ptr<ExecPlugins::Use> plugin_;
  SharedIdentity logged_in_;  // made of the plugin's last answer
};

}  // namespace kportal::k8s
