// SPDX-License-Identifier: MIT
#include "doctor/self_review.h"

#include <nlohmann/json.hpp>

namespace kportal::doctor {

using Json = nlohmann::json;

std::string self_review_request() {
  return R"({"kind":"SelfSubjectReview","apiVersion":"authentication.k8s.io/v1"})";
}

Result<SelfUser> parse_self_review(std::string_view answer) {
  Error const nonsense(Errc::server, "the answer to a SelfSubjectReview makes no sense");
  auto const json = Json::parse(answer, nullptr, false);
  Json::json_pointer const user_at("/status/userInfo");
  if (json.is_discarded() || !json.is_object() || !json.contains(user_at)) return nonsense;
  auto const& info = json.at(user_at);
  if (!info.is_object()) return nonsense;
  auto const name = info.find("username");
  if (name == info.end() || !name->is_string()) return nonsense;
  SelfUser user;
  user.name = name->get<std::string>();
  auto const groups = info.find("groups");
  if (groups == info.end() || !groups->is_array()) return user;
  for (auto const& group : *groups) {
    if (group.is_string()) user.groups.push_back(group.get<std::string>());
  }
  return user;
}

}  // namespace kportal::doctor
