// SPDX-License-Identifier: MIT
#include "lab/access.h"

#include <algorithm>

#include <fmt/format.h>

namespace kportal::lab {
namespace {

bool lists(std::vector<std::string> const& words, std::string_view word) {
  return std::any_of(words.begin(), words.end(),
                     [&](std::string const& each) { return each == "*" || each == word; });
}

}  // namespace

void Access::add_user(std::string name, std::string token, std::vector<std::string> groups) {
  tokens_.push_back(Token{std::move(token), User{std::move(name), std::move(groups)}});
}

void Access::revoke_token(std::string_view token) {
  std::erase_if(tokens_, [&](Token const& each) { return each.token == token; });
}

void Access::allow(std::string const& user, AccessRule rule) {
  grants_.push_back(Grant{user, std::move(rule)});
}

void Access::forbid_all(std::string_view user) {
  std::erase_if(grants_, [&](Grant const& each) { return each.user == user; });
}

std::optional<User> Access::user_of_token(std::string_view token) const {
  for (auto const& each : tokens_) {
    if (each.token == token) return each.user;
  }
  return std::nullopt;
}

std::optional<std::string> Access::refusal(User const& user, AccessRequest const& request) const {
  if (std::find(user.groups.begin(), user.groups.end(), "system:masters") != user.groups.end()) {
    return std::nullopt;
  }
  for (auto const& each : grants_) {
    if (each.user == user.name && lists(each.rule.verbs, request.verb) &&
        lists(each.rule.resources, request.resource) &&
        lists(each.rule.namespaces, request.namespace_)) {
      return std::nullopt;
    }
  }
  auto what = request.resource.substr(0, request.resource.find('/'));
  if (!request.group.empty()) what += "." + request.group;
  if (!request.name.empty()) what += fmt::format(" \"{}\"", request.name);
  auto const where = request.namespace_.empty()
                         ? std::string("at the cluster scope")
                         : fmt::format("in the namespace \"{}\"", request.namespace_);
  return fmt::format(
      "{} is forbidden: User \"{}\" cannot {} resource \"{}\" in API group \"{}\" {}", what,
      user.name, request.verb, request.resource, request.group, where);
}

}  // namespace kportal::lab
