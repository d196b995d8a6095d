// SPDX-License-Identifier: MIT
#include "k8s/access_review.h"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "k8s/rest_client.h"

namespace kportal::k8s {

namespace {

using Json = nlohmann::json;

constexpr char const* kPath = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews";

constexpr JsonField kStatusFields[] = {{"allowed", &kJsonScalar}};
constexpr JsonRule kStatus = JsonRule::object_of(kStatusFields);
constexpr JsonField kReviewFields[] = {{"status", &kStatus}};
constexpr JsonRule kReview = JsonRule::object_of(kReviewFields);

}  // namespace

std::string access_review_json(Deed const& deed) {
  Json attributes{{"verb", deed.verb}, {"resource", deed.resource}};
  if (!deed.group.empty()) attributes["group"] = deed.group;
  if (!deed.subresource.empty()) attributes["subresource"] = deed.subresource;
  if (!deed.name_space.empty()) attributes["namespace"] = deed.name_space;
  if (!deed.name.empty()) attributes["name"] = deed.name;
  Json const review{{"apiVersion", "authorization.k8s.io/v1"},
                    {"kind", "SelfSubjectAccessReview"},
                    {"spec", {{"resourceAttributes", std::move(attributes)}}}};
  return review.dump(-1, ' ', false, Json::error_handler_t::replace);
}

// The answer repeats the question; only the verdict is looked at.
Result<bool> parse_access_review(std::string_view json) {
  JsonSplitter splitter(kReview);
  splitter.append(std::string(json));
  auto const piece = splitter.next();
  if (!piece) return piece.error();
  auto const review = *piece ? Json::parse((*piece)->text, nullptr, false) : Json();
  auto const status = review.is_object() ? review.find("status") : review.end();
  bool const whole = status != review.end() && status->is_object();
  if (whole && status->contains("allowed") && status->at("allowed").is_boolean()) {
    return status->at("allowed").get<bool>();
  }
  return Error(Errc::server, "the server sent an access review without a verdict");
}

awaitable<Result<bool>> may(RestClient& client, Deed deed, TimePoint deadline) {
  auto const answer = co_await client.post(kPath, access_review_json(deed), deadline);
  if (answer.has_error()) co_return answer.error();
  auto verdict = parse_access_review(*answer);
  if (verdict.has_error()) co_return verdict.error().within(client.server());
  co_return verdict;
}

std::string missing_rule(std::string_view verbs, std::string_view resource,
                         std::string_view name_space) {
  return fmt::format(
      "; a role that allows it, to be bound to this user: kubectl create role port-forward -n {} "
      "--verb={} --resource={}",
      name_space, verbs, resource);
}

Error with_rule(Error error, std::string_view verbs, std::string_view resource,
                std::string_view name_space) {
  if (error.code == Errc::forbidden) error.text += missing_rule(verbs, resource, name_space);
  return error;
}

}  // namespace kportal::k8s
