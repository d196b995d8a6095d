// SPDX-License-Identifier: MIT
// Credentials: the headers that tell the API server who asks, for each request anew (REST and
// upgrades). A token file is re-read through the FileReader it was given; nothing else does I/O.
// Client certificates are not here: they belong to the TLS connection. One per Cluster.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "base/error.h"
#include "k8s/kubeconfig.h"

namespace kportal::k8s {

using RequestHeaders = std::vector<std::pair<std::string, std::string>>;

class Credentials {
 public:
  static constexpr std::chrono::seconds kTokenFilePeriod{60};
  static constexpr std::size_t kMaxTokenFileSize = 64 * 1024;

  Credentials(Auth auth, FileReader read_file);

  // Authorization and Impersonate-*. Reads the token file if the last try is older than
  // kTokenFilePeriod; if that fails the last good token stays. Errc::unauthorized when there never
  // was a token to send.
  Result<RequestHeaders> headers(TimePoint now);

  // After a 401: reads the token file now. True if headers() gives something new, so asking again
  // makes sense.
  bool refresh(TimePoint now);

  // Grows whenever headers() begins to give something else.
  std::uint64_t generation() const { return generation_; }

 private:
  bool read_token(TimePoint now);

  Auth auth_;
  FileReader read_file_;
  std::string token_;
  std::string problem_;  // why the last reading of the token file failed
  TimePoint next_read_ = TimePoint::min();
  std::uint64_t generation_ = 1;
};

}  // namespace kportal::k8s
