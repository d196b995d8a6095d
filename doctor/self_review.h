// SPDX-License-Identifier: MIT
// SelfSubjectReview (authentication.k8s.io/v1, since Kubernetes 1.28): asks the API server who it
// takes us for. The request and the answer as text; asking is examine_cluster's. Pure.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"

namespace kportal::doctor {

inline constexpr char const* kSelfReviewPath = "/apis/authentication.k8s.io/v1/selfsubjectreviews";
std::string self_review_request();

struct SelfUser {
  std::string name;
  std::vector<std::string> groups;
  bool anonymous() const { return name == "system:anonymous"; }
};
// Errc::server for what is no such answer.
Result<SelfUser> parse_self_review(std::string_view answer);

}  // namespace kportal::doctor
