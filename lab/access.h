// SPDX-License-Identifier: MIT
// Access: who may do what: users with bearer tokens or client certificates, and rules. Pure; the
// words of its refusals are those of a real API server.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace kportal::lab {

struct User {
  std::string name;
  std::vector<std::string> groups;
};

// One thing asked of the API server.
struct AccessRequest {
  std::string verb;        // get, list, watch, create
  std::string group;       // "" = core
  std::string resource;    // pods, pods/portforward, services, ...
  std::string namespace_;  // empty: cluster-wide
  std::string name;        // empty: a collection
};

// "*" in a list stands for everything.
struct AccessRule {
  std::vector<std::string> verbs;
  std::vector<std::string> resources;
  std::vector<std::string> namespaces{"*"};
};

class Access {
 public:
  // A user known by a bearer token. A second call with the same name gives it one more token.
  void add_user(std::string name, std::string token, std::vector<std::string> groups = {});
  void revoke_token(std::string_view token);
  // Rules add up. The group system:masters may do everything.
  void allow(std::string const& user, AccessRule rule);
  void forbid_all(std::string_view user);

  std::optional<User> user_of_token(std::string_view token) const;
  // Nothing when allowed, else the message of the 403.
  std::optional<std::string> refusal(User const& user, AccessRequest const& request) const;

 private:
  struct Token {
    std::string token;
    User user;
  };
  struct Grant {
    std::string user;
    AccessRule rule;
  };
  std::vector<Token> tokens_;
  std::vector<Grant> grants_;
};

}  // namespace kportal::lab
