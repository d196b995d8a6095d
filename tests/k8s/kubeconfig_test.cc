// SPDX-License-Identifier: MIT
#include "k8s/kubeconfig.h"

#include <cstdio>
#include <fstream>
#include <map>
#include <set>
#include <sys/stat.h>
#include <unistd.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace kportal::k8s {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
using testing::StartsWith;

// Variables and files of a machine that is not there.
struct FakeMachine {
  std::map<std::string, std::string> variables{{"HOME", "/home/me"}};
  std::map<std::string, std::string> files;
  std::set<std::string> unreadable;
  std::set<std::string> read;

  Environment environment() {
    return {[this](std::string const& name) -> std::optional<std::string> {
              auto const found = variables.find(name);
              if (found == variables.end()) return std::nullopt;
              return found->second;
            },
            [this](std::string const& path, std::size_t limit) { return read_file(path, limit); },
            "/work/dir"};
  }

  boost::system::result<std::string> read_file(std::string const& path, std::size_t limit) {
    namespace errc = boost::system::errc;
    read.insert(path);
    if (unreadable.contains(path)) return error_code(make_error_code(errc::permission_denied));
    auto const found = files.find(path);
    if (found == files.end()) return error_code(make_error_code(errc::no_such_file_or_directory));
    if (found->second.size() > limit) return error_code(make_error_code(errc::file_too_large));
    return found->second;
  }

  Result<Kubeconfig> load(std::string const& explicit_path = "") {
    return load_kubeconfig(explicit_path, environment());
  }
};

// One file at the default place, and one context of it.
Result<ResolvedContext> resolve_in(FakeMachine& machine, std::string const& yaml,
                                   std::string const& context = "") {
  machine.files["/home/me/.kube/config"] = yaml;
  auto const config = machine.load();
  if (!config) return config.error();
  return resolve_context(*config, context, machine.environment());
}

Result<ResolvedContext> resolve(std::string const& yaml, std::string const& context = "") {
  FakeMachine machine;
  machine.files["/etc/ca.pem"] = "CA FILE";
  machine.files["/etc/cert.pem"] = "CERT FILE";
  machine.files["/etc/key.pem"] = "KEY FILE";
  return resolve_in(machine, yaml, context);
}

// A whole kubeconfig around the fields of one cluster and one user, in YAML's flow style.
std::string with(std::string const& cluster, std::string const& user = "") {
  return "apiVersion: v1\nkind: Config\ncurrent-context: c\n"
         "clusters: [{name: k, cluster: {" +
         cluster +
         "}}]\n"
         "users: [{name: u, user: {" +
         user +
         "}}]\n"
         "contexts: [{name: c, context: {cluster: k, user: u, namespace: shop}}]\n";
}

std::string with_user(std::string const& user) {
  return with("server: 'https://h'", user);
}

template <class T>
std::string text_of(Result<T> const& result, Errc code = Errc::kubeconfig) {
  if (result) return "no error";
  EXPECT_EQ(result.error().code, code) << result.error().text;
  return result.error().text;
}

constexpr char const* kFull = R"(apiVersion: v1
kind: Config
preferences: {}
current-context: staging
clusters:
- name: staging-cluster
  cluster:
    certificate-authority-data: Q0EgREFUQQ==
    server: https://staging.example:6443
    tls-server-name: kube.staging
    disable-compression: true
    extensions:
    - name: minikube.sigs.k8s.io
      extension: {last-update: "x", version: v1}
- name: plain
  cluster:
    server: https://10.0.0.1
contexts:
- context:
    cluster: staging-cluster
    user: admin
    namespace: shop
  name: staging
- context: {cluster: plain, user: ""}
  name: anonymous
users:
- name: admin
  user:
    client-certificate-data: |
      Q0VSVCBE
      QVRB
    client-key-data: S0VZIERBVEE=
- name: robot
  user:
    token: abc
)";

TEST(KubeconfigTest, ResolvesTheCurrentContext) {
  auto const resolved = resolve(kFull);
  ASSERT_TRUE(resolved) << resolved.error().text;
  EXPECT_EQ(resolved->context, "staging");
  EXPECT_EQ(resolved->namespace_, "shop");
  ClusterAccess expected;
  expected.server = {true, "staging.example", 6443, ""};
  std::string const source = resolved->access.tls.ca_source;
  EXPECT_THAT(source, HasSubstr("certificate-authority-data"));
  std::string const& user = resolved->access.tls.cert_source;
  EXPECT_THAT(user, HasSubstr("user \"admin\""));
  expected.tls = {"CA DATA", source, "CERT DATA", "KEY DATA", user, "kube.staging", false};
  EXPECT_EQ(resolved->access, expected);
  EXPECT_THAT(resolved->warnings, IsEmpty());
}

TEST(KubeconfigTest, ResolvesANamedContext) {
  auto const resolved = resolve(kFull, "anonymous");
  ASSERT_TRUE(resolved) << resolved.error().text;
  EXPECT_EQ(resolved->namespace_, "default");
  EXPECT_EQ(resolved->access.server, (Server{true, "10.0.0.1", 443, ""}));
  EXPECT_EQ(resolved->access.auth, Auth());
}

TEST(KubeconfigTest, ReadsJson) {
  auto const resolved = resolve(
      R"({"kind":"Config","current-context":"a\/b","clusters":[{"name":"k","cluster":{"server":
      "https:\/\/h:1"}}],"users":null,"contexts":[{"name":"a\/b","context":{"cluster":"k"}}]})");
  ASSERT_TRUE(resolved) << resolved.error().text;
  EXPECT_EQ(resolved->context, "a/b");
  EXPECT_EQ(resolved->access.server.port, 1);
}

TEST(KubeconfigTest, EqualAccessIsShared) {
  std::string const yaml = std::string(kFull) + "---\n";
  auto const first = resolve(yaml, "staging");
  std::string moved = kFull;
  moved.replace(moved.find("namespace: shop"), 15, "namespace: beta");
  auto const second = resolve(moved, "staging");
  ASSERT_TRUE(first && second);
  EXPECT_EQ(first->access, second->access);
  EXPECT_NE(*first, *second);
}

// ---- loading

std::string one_context(std::string const& name, std::string const& server) {
  return "current-context: " + name + "\nclusters: [{name: k, cluster: {server: '" + server +
         "'}}]\ncontexts: [{name: " + name + ", context: {cluster: k}}]\n";
}

TEST(KubeconfigLoadTest, TakesTheDefaultFile) {
  FakeMachine machine;
  machine.files["/home/me/.kube/config"] = kFull;
  auto const config = machine.load();
  ASSERT_TRUE(config);
  EXPECT_THAT(config->files, ElementsAre("/home/me/.kube/config"));
  EXPECT_EQ(config->contexts.size(), 2U);
  EXPECT_EQ(config->contexts.at("staging").origin, "/home/me/.kube/config");
  EXPECT_THAT(config->warnings, IsEmpty());
}

TEST(KubeconfigLoadTest, AMissingDefaultFileIsAnEmptyConfig) {
  FakeMachine machine;
  auto const config = machine.load();
  ASSERT_TRUE(config);
  EXPECT_THAT(config->contexts, IsEmpty());
  EXPECT_FALSE(config->in_cluster);
  EXPECT_THAT(text_of(resolve_context(*config, "", machine.environment()), Errc::no_such_context),
              HasSubstr("there is no kubeconfig: /home/me/.kube/config is not there"));
  machine.variables.clear();
  auto const homeless = machine.load();
  ASSERT_TRUE(homeless);
  EXPECT_THAT(homeless->files, IsEmpty());
  EXPECT_THAT(text_of(resolve_context(*homeless, "", machine.environment()), Errc::no_such_context),
              HasSubstr("no HOME"));
}

TEST(KubeconfigLoadTest, AnExplicitFileIsTheOnlyOneAndMustExist) {
  FakeMachine machine;
  machine.variables["KUBECONFIG"] = "/a";
  machine.files["/a"] = one_context("a", "https://a");
  machine.files["/work/dir/my/config"] = one_context("mine", "https://mine");
  auto const config = machine.load("my/config");
  ASSERT_TRUE(config);
  EXPECT_THAT(config->files, ElementsAre("/work/dir/my/config"));
  EXPECT_EQ(config->current_context, "mine");
  EXPECT_FALSE(config->contexts.contains("a"));
  EXPECT_THAT(text_of(machine.load("/nowhere")), StartsWith("/nowhere cannot be read: No such"));
}

TEST(KubeconfigLoadTest, TheListSkipsEmptyMissingAndRepeatedNames) {
  FakeMachine machine;
  machine.variables["KUBECONFIG"] = ":/a::/missing:b:/a:/work/dir/./b:";
  machine.files["/a"] = one_context("a", "https://a");
  machine.files["/work/dir/b"] = one_context("b", "https://b");
  auto const config = machine.load();
  ASSERT_TRUE(config);
  EXPECT_THAT(config->files, ElementsAre("/a", "/missing", "/work/dir/b"));
  EXPECT_EQ(config->contexts.size(), 2U);
  EXPECT_THAT(config->warnings, IsEmpty());
  EXPECT_FALSE(machine.read.contains("/home/me/.kube/config"));
}

TEST(KubeconfigLoadTest, WarnsWhenNoFileOfTheListExists) {
  FakeMachine machine;
  machine.variables["KUBECONFIG"] = "/x:/y";
  machine.files["/home/me/.kube/config"] = kFull;
  auto const config = machine.load();
  ASSERT_TRUE(config);
  EXPECT_THAT(config->contexts, IsEmpty());
  EXPECT_THAT(config->warnings, ElementsAre("KUBECONFIG names no file that exists: /x, /y"));
}

TEST(KubeconfigLoadTest, TheFirstFileWinsPerEntryEntirely) {
  FakeMachine machine;
  machine.variables["KUBECONFIG"] = "/a:/b";
  machine.files["/a"] =
      "clusters: [{name: k, cluster: {server: 'https://a'}}]\n"
      "users: [{name: u, user: {}}]\n"
      "contexts: [{name: c, context: {cluster: k, user: u}}]\n";
  machine.files["/b"] =
      "current-context: c\n"
      "clusters: [{name: k, cluster: {server: 'https://b', tls-server-name: b}},"
      "{name: k2, cluster: {server: 'https://b2'}}]\n"
      "users: [{name: u, user: {token: t}}]\n"
      "contexts: [{name: c, context: {cluster: k2, namespace: b}},"
      " {name: d, context: {cluster: k2, user: u}}]\n";
  auto const config = machine.load();
  ASSERT_TRUE(config) << config.error().text;
  EXPECT_EQ(config->current_context, "c");
  auto const c = resolve_context(*config, "", machine.environment());
  ASSERT_TRUE(c);
  EXPECT_EQ(c->access.server.host, "a");
  EXPECT_EQ(c->access.tls.server_name, "");
  EXPECT_EQ(c->access.auth.token, "");
  EXPECT_EQ(c->namespace_, "default");
  auto const d = resolve_context(*config, "d", machine.environment());
  ASSERT_TRUE(d);
  EXPECT_EQ(d->access.server.host, "b2");
  EXPECT_EQ(d->access.auth.token, "");
}

TEST(KubeconfigLoadTest, CurrentContextIsOfTheFirstFileThatSetsIt) {
  FakeMachine machine;
  machine.variables["KUBECONFIG"] = "/a:/b:/c";
  machine.files["/a"] = "current-context: ''\n";
  machine.files["/b"] = "current-context: b\n";
  machine.files["/c"] = "current-context: c\n";
  EXPECT_EQ(machine.load()->current_context, "b");
}

TEST(KubeconfigLoadTest, RelativePathsAreOfTheDefiningFile) {
  FakeMachine machine;
  machine.variables["KUBECONFIG"] = "/one/a:/two/b";
  machine.files["/one/a"] =
      "current-context: c\n"
      "clusters: [{name: k, cluster: {server: 'https://h', certificate-authority: pki/ca.pem}}]\n"
      "contexts: [{name: c, context: {cluster: k, user: u}}, {name: t, context: {cluster: k, user: "
      "t}}]\n";
  machine.files["/two/b"] =
      "users: [{name: u, user: {client-certificate: ../x/cert.pem, client-key: /abs/key.pem}},"
      "{name: t, user: {tokenFile: tok}},"
      "{name: e1, user: {exec: {command: ./bin/login}}}, {name: e2, user: {exec: {command: aws}}},"
      "{name: e3, user: {exec: {command: /bin/login}}}]\n";
  machine.files["/one/pki/ca.pem"] = "CA";
  machine.files["/x/cert.pem"] = "CERT";
  machine.files["/abs/key.pem"] = "KEY";
  auto const config = machine.load();
  ASSERT_TRUE(config) << config.error().text;
  auto const c = resolve_context(*config, "", machine.environment());
  ASSERT_TRUE(c) << c.error().text;
  EXPECT_EQ(c->access.tls,
            (ServerTls{"CA", "/one/pki/ca.pem", "CERT", "KEY", "/two/b: user \"u\"", "", false}));
  auto const t = resolve_context(*config, "t", machine.environment());
  ASSERT_TRUE(t);
  EXPECT_EQ(t->access.auth.token_file, "/two/tok");
  EXPECT_FALSE(machine.read.contains("/two/tok"));
  EXPECT_EQ(config->users.at("e1").exec->command, "/two/bin/login");
  EXPECT_EQ(config->users.at("e2").exec->command, "aws");
  EXPECT_EQ(config->users.at("e3").exec->command, "/bin/login");
}

TEST(KubeconfigLoadTest, AnUnreadableOrHugeFileIsAnError) {
  FakeMachine machine;
  machine.variables["KUBECONFIG"] = "/a:/b";
  machine.files["/a"] = kFull;
  machine.unreadable.insert("/b");
  EXPECT_EQ(text_of(machine.load()), "/b cannot be read: Permission denied");
  machine.unreadable.clear();
  machine.files["/b"] = std::string(kMaxKubeconfigSize + 1, ' ');
  EXPECT_EQ(text_of(machine.load()), "/b is larger than 4096 KiB");
}

TEST(KubeconfigLoadTest, EmptyFilesAreFine) {
  for (char const* text :
       {"", "\n\n", "# nothing\n", "---\n", "{}", "null", "clusters:\nusers: []\n"}) {
    FakeMachine machine;
    machine.files["/home/me/.kube/config"] = text;
    auto const config = machine.load();
    ASSERT_TRUE(config) << text << config.error().text;
    EXPECT_THAT(config->clusters, IsEmpty());
  }
}

TEST(KubeconfigLoadTest, MalformedFilesAreErrorsThatNameTheFile) {
  std::pair<char const*, char const*> const rows[] = {
      {"a: [", "line "},
      {"a: b: c", "line 1, column 5: broken YAML"},
      {"\ttab: x", "broken YAML"},
      {"[]", "it is not a map of keys"},
      {"just text", "it is not a map of keys"},
      {"kind: Pod", "it is not a kubeconfig"},
      {"apiVersion: v2", "it is not a kubeconfig"},
      {"kind: []", "kind is not text"},
      {"current-context: {a: b}", "current-context is not text"},
      {"current-context: [a]", "current-context is not text"},
      {"current-context: \"a\\nb\"", "current-context has control characters"},
      {"? [a]\n: b", "a key is not text"},
      {"<<: x", "<< merges neither a map nor a list of maps"},
      {"<<: [{}, x]", "<< merges something that is not a map"},
      {"<<: &a {<<: {kind: Pod}}", "it is not a kubeconfig"},
      {"current-context: 12", "current-context is a number or a truth value, not text"},
      {"preferences: 1", "preferences is not a map of keys"},
      {"clusters: {}", "clusters is not a list"},
      {"clusters: x", "clusters is not a list"},
      {"clusters: [x]", "clusters[0] is not a map of keys"},
      {"clusters: [{name: [x]}]", "clusters[0]: name is not text"},
      {"clusters: [{name: x}, {name: x}]", "cluster \"x\" is there twice"},
      {"users: [{name: x}, {name: z}, {name: x, user: {}}]", "user \"x\" is there twice"},
      {"contexts: [{name: x}, {name: x}]", "context \"x\" is there twice"},
      {"contexts: [{name: x, context: []}]", "context \"x\" is not a map of keys"},
      {"contexts: [{name: \"x\\x1b[31m\"}]", "contexts[0]: name has control characters"},
      {"clusters: [{name: x, cluster: {server: [1]}}]", "cluster \"x\": server is not text"},
      {"clusters: [{name: x, cluster: {insecure-skip-tls-verify: maybe}}]",
       "cluster \"x\": insecure-skip-tls-verify is neither true nor false"},
      {"clusters: [{name: x, cluster: {insecure-skip-tls-verify: 'true'}}]",
       "cluster \"x\": insecure-skip-tls-verify is neither true nor false"},
      {"clusters: [{name: x, cluster: {certificate-authority-data: '***'}}]",
       "cluster \"x\": certificate-authority-data is not base64"},
      {"users: [{name: x, user: {client-key-data: 'QQ'}}]", "client-key-data is not base64"},
      {"users: [{name: x, user: {client-key-data: 'Q==='}}]", "client-key-data is not base64"},
      {"users: [{name: x, user: {client-key-data: 'QQ=Q'}}]", "client-key-data is not base64"},
      {"users: [{name: x, user: {client-key-data: 'QQ==QQ=='}}]", "client-key-data is not base64"},
      {"users: [{name: x, user: {client-certificate-data: '===='}}]", "is not base64"},
      {"users: [{name: x, user: {token: {a: b}}}]", "user \"x\": token is not text"},
      {"users: [{name: x, user: {as-groups: a}}]", "user \"x\": as-groups is not a list"},
      {"users: [{name: x, user: {as-groups: [[a]]}}]", "user \"x\".as-groups[0] is not text"},
      {"users: [{name: x, user: {as-user-extra: [a]}}]",
       "user \"x\".as-user-extra is not a map of keys"},
      {"users: [{name: x, user: {as-user-extra: {a: b}}}]",
       "user \"x\".as-user-extra: a is not a list"},
      {"users: [{name: x, user: {exec: aws}}]", "user \"x\".exec is not a map of keys"},
      {"users: [{name: x, user: {exec: {args: a}}}]", "user \"x\".exec: args is not a list"},
      {"users: [{name: x, user: {exec: {env: [a]}}}]", "user \"x\".exec.env[0] is not a map"},
      {"users: [{name: x, user: {exec: {env: [{name: [a]}]}}}]",
       "user \"x\".exec.env[0]: name is not text"},
      {"users: [{name: x, user: {auth-provider: {config: {}}}}]",
       "user \"x\".auth-provider: name is missing"},
  };
  for (auto const& [text, expected] : rows) {
    FakeMachine machine;
    machine.files["/home/me/.kube/config"] = text;
    EXPECT_THAT(text_of(machine.load()),
                AllOf(StartsWith("/home/me/.kube/config: "), HasSubstr(expected)))
        << text;
  }
}

// As for kubectl; but we say so.
TEST(KubeconfigLoadTest, WhatIsThereTwiceOrHasNoNameIsWarnedOf) {
  FakeMachine machine;
  machine.variables["KUBECONFIG"] = "/a:/b";
  machine.files["/a"] = "current-context: a\ncurrent-context: b\n";
  machine.files["/b"] = "clusters: [{cluster: {}}, {name: k, cluster: {server: a, server: b}}]\n";
  auto const config = machine.load();
  ASSERT_TRUE(config) << config.error().text;
  EXPECT_EQ(config->current_context, "b");
  EXPECT_EQ(config->clusters.at("k").server, "b");
  EXPECT_THAT(config->warnings,
              ElementsAre("/a: current-context is there twice: the last one counts",
                          "/b: clusters[0] has no name: it is passed over",
                          "/b: cluster \"k\".server is there twice: the last one counts"));
}

TEST(KubeconfigLoadTest, MergeKeysFillInWhatIsMissing) {
  FakeMachine machine;
  machine.files["/home/me/.kube/config"] =
      "x: &x {server: x, proxy-url: x}\n"
      "y: &y {<<: *x, server: other, tls-server-name: other}\n"
      "clusters: [{name: k, cluster: {tls-server-name: own, <<: [*y, *x]}}]\n";
  auto const config = machine.load();
  ASSERT_TRUE(config) << config.error().text;
  EXPECT_EQ(config->clusters.at("k").server, "other");
  EXPECT_EQ(config->clusters.at("k").proxy_url, "x");
  EXPECT_EQ(config->clusters.at("k").tls_server_name, "own");
  EXPECT_THAT(config->warnings, IsEmpty());
}

TEST(KubeconfigLoadTest, EndlessMergesAreRefused) {
  FakeMachine machine;
  std::string deep = "{}";
  for (int i = 0; i < 40; ++i) deep = "{<<: " + deep + "}";
  machine.files["/home/me/.kube/config"] = deep;
  EXPECT_THAT(text_of(machine.load()), HasSubstr("<< is nested too deeply"));
}

TEST(KubeconfigLoadTest, SaysWhatItReadAndWhereEntriesAreFrom) {
  FakeMachine machine;
  machine.variables["KUBECONFIG"] = "/a:/missing:/b";
  machine.files["/a"] =
      "current-context: c\ncontexts: [{name: c, context: {cluster: k, user: u}}]\n"
      "users: [{name: u, user: {tokenFile: tok, client-certificate: c.pem, client-key: k.pem}}]\n";
  machine.files["/b"] =
      "clusters: [{name: k, cluster: {server: 'https://h', certificate-authority: /ca.pem}}]\n";
  auto const config = machine.load();
  ASSERT_TRUE(config) << config.error().text;
  EXPECT_THAT(config->files, ElementsAre("/a", "/missing", "/b"));
  EXPECT_THAT(config->loaded, ElementsAre("/a", "/b"));
  // Also while they do not exist, for then their coming is the cure.
  EXPECT_FALSE(resolve_context(*config, "", machine.environment()));
  EXPECT_THAT(files_of_context(*config, ""), ElementsAre("/ca.pem", "/c.pem", "/k.pem", "/tok"));
  EXPECT_THAT(files_of_context(*config, "other"), IsEmpty());
  for (char const* const file : {"/ca.pem", "/c.pem", "/k.pem"}) machine.files[file] = "PEM";
  auto const resolved = resolve_context(*config, "", machine.environment());
  ASSERT_TRUE(resolved) << resolved.error().text;
  EXPECT_EQ(resolved->context_file, "/a");
  EXPECT_EQ(resolved->cluster, (Origin{"k", "/b"}));
  EXPECT_EQ(resolved->user, (Origin{"u", "/a"}));
}

TEST(KubeconfigLoadTest, NamesAreBounded) {
  std::string const long_name(1025, 'n');
  std::string const long_path = "/" + std::string(4096, 'p');
  for (std::string const& text :
       {"current-context: " + long_name, "contexts: [{name: " + long_name + "}]",
        "users: [{name: u, user: {? " + long_name + " : x}}]",
        "users: [{name: u, user: {tokenFile: " + long_path + "}}]"}) {
    FakeMachine machine;
    machine.files["/home/me/.kube/config"] = text;
    auto const error = text_of(machine.load());
    EXPECT_THAT(error, HasSubstr("is longer than "));
    EXPECT_LT(error.size(), 200U);
  }
}

TEST(KubeconfigLoadTest, UnknownKeysArePassedOver) {
  auto const resolved =
      resolve("future: [1, {a: b}]\n" +
              with("server: 'https://h', extensions: [{name: a, extension: {x: [1]}}], new-key: {}",
                   "new-key: [1]"));
  ASSERT_TRUE(resolved) << resolved.error().text;
}

TEST(KubeconfigLoadTest, BrokenYamlDoesNotTellSecrets) {
  for (std::string const& user :
       {std::string("token: *s3cret"), std::string("token: \"s3cret\\q\""),
        std::string("token: s3cret: x"), std::string("client-key-data: s3cret!"),
        std::string("token: {s3cret: 1}"), std::string("as-groups: s3cret"),
        std::string("insecure: *s3cret")}) {
    EXPECT_THAT(text_of(resolve(with_user(user))), Not(HasSubstr("s3cret"))) << user;
  }
}

TEST(KubeconfigLoadTest, AliasBombsAreRefused) {
  std::string bomb = "x: &a0 {name: a, value: v}\n";
  std::string row;
  for (int i = 0; i < 5000; ++i) row += "*a0,";
  bomb += "env: &env [" + row + "]\n";
  std::string users;
  for (int i = 0; i < 5000; ++i) {
    users += "- {name: u" + std::to_string(i) + ", user: {exec: {env: *env}}}\n";
  }
  FakeMachine machine;
  machine.files["/home/me/.kube/config"] = bomb + "users:\n" + users;
  EXPECT_THAT(text_of(machine.load()), HasSubstr("more than 200000 values"));
  std::string laughs = "a: &a [x]\n";
  for (char c = 'b'; c < 'z'; ++c) {
    std::string const before = std::string("*") + static_cast<char>(c - 1) + ",";
    laughs += std::string(1, c) + ": &" + c + " [";
    for (int i = 0; i < 10; ++i) laughs += before;
    laughs += "]\n";
  }
  machine.files["/home/me/.kube/config"] = laughs + "users: *y\n";
  EXPECT_THAT(text_of(machine.load()), HasSubstr("users[0] is not a map of keys"));
}

TEST(KubeconfigLoadTest, ValuesAreCounted) {
  std::string text = "x: [";
  for (std::size_t i = 0; i < kMaxKubeconfigNodes; ++i) text += "a,";
  FakeMachine machine;
  machine.files["/home/me/.kube/config"] = text + "]\n";
  EXPECT_THAT(text_of(machine.load()), HasSubstr("more than 200000 values"));
}

TEST(KubeconfigLoadTest, DeepNestingIsRefused) {
  for (char const* open : {"[", "{a: ", "- ", "? "}) {
    std::string text = "x: \n ";
    for (int i = 0; i < 20'000; ++i) text += open;
    FakeMachine machine;
    machine.files["/home/me/.kube/config"] = text;
    EXPECT_THAT(text_of(machine.load()), HasSubstr("broken YAML")) << open;
  }
}

TEST(KubeconfigLoadTest, EveryPrefixIsReadOrRefused) {
  std::string const text = kFull;
  for (std::size_t n = 0; n <= text.size(); ++n) {
    auto const resolved = resolve(text.substr(0, n));
    if (!resolved) {
      EXPECT_FALSE(resolved.error().text.empty());
    }
  }
}

TEST(KubeconfigLoadTest, AnyByteAnywhereIsReadOrRefused) {
  std::string const text = kFull;
  for (std::size_t i = 0; i < text.size(); ++i) {
    for (char const c : std::string_view("\0\n\t\x1b\"{&*", 8)) {
      std::string broken = text;
      broken[i] = c;
      auto const resolved = resolve(broken);
      if (resolved) {
        EXPECT_FALSE(resolved->access.server.host.empty());
      } else {
        EXPECT_EQ(resolved.error().text.find_first_of(std::string_view("\0\x1b\n", 3)),
                  std::string::npos)
            << resolved.error().text;
      }
    }
  }
}

TEST(KubeconfigLoadTest, FieldsOfAMebibyteAreRefusedInAFewWords) {
  std::string const huge(1024 * 1024, 'n');
  std::string const trusted = "server: 'https://h'";
  for (std::string const& text :
       {with("server: 'https://" + huge + "'"), with("server: 'https://h/" + huge + "'"),
        with(trusted + ", tls-server-name: " + huge),
        with(trusted + ", certificate-authority: " + huge), with_user("token: " + huge),
        with_user("tokenFile: " + huge), with_user("as: " + huge),
        with_user("as: a, as-groups: [" + huge + "]"), with_user("client-certificate: " + huge),
        with_user("as: a, as-user-extra: {k: [" + huge + "]}"), "current-context: " + huge,
        "contexts: [{name: c, context: {namespace: " + huge + "}}]", "? " + huge + "\n: x\n",
        with("proxy-url: " + huge), "kind: " + huge}) {
    auto const resolved = resolve(text);
    ASSERT_FALSE(resolved) << text.substr(0, 200);
    EXPECT_LT(resolved.error().text.size(), 1000U);
  }
}

// ---- contexts

TEST(KubeconfigContextTest, AnUnknownContextListsTheOthers) {
  EXPECT_EQ(text_of(resolve(kFull, "stagng"), Errc::no_such_context),
            "no context \"stagng\" in the kubeconfig (did you mean \"staging\"?); there are: "
            "anonymous, staging");
  EXPECT_EQ(text_of(resolve(kFull, "production"), Errc::no_such_context),
            "no context \"production\" in the kubeconfig; there are: anonymous, staging");
}

TEST(KubeconfigContextTest, TheListOfContextsIsBounded) {
  std::string yaml = "contexts:\n";
  for (int i = 0; i < 300; ++i) yaml += "- {name: c" + std::to_string(100 + i) + "}\n";
  auto const text = text_of(resolve(yaml, "other"), Errc::no_such_context);
  EXPECT_THAT(text, AllOf(HasSubstr("c109 and 290 more"), Not(HasSubstr("c110"))));
}

TEST(KubeconfigContextTest, WithoutACurrentContextOneMustBeNamed) {
  std::string yaml = kFull;
  yaml.replace(yaml.find("current-context: staging"), 24, "");
  EXPECT_THAT(text_of(resolve(yaml), Errc::no_such_context),
              AllOf(HasSubstr("no current one"), HasSubstr("anonymous, staging")));
  EXPECT_TRUE(resolve(yaml, "staging"));
}

TEST(KubeconfigContextTest, ADanglingCurrentContextIsNoSuchContext) {
  EXPECT_THAT(text_of(resolve("current-context: gone\n"), Errc::no_such_context),
              HasSubstr("no context \"gone\""));
}

TEST(KubeconfigContextTest, UnknownClusterOrUserIsAnError) {
  std::string const base = "clusters: [{name: k, cluster: {server: 'https://h'}}]\n";
  EXPECT_EQ(
      text_of(resolve(base + "contexts: [{name: c, context: {cluster: x}}]", "c")),
      "/home/me/.kube/config: context \"c\": its cluster \"x\" is not defined under clusters");
  EXPECT_EQ(text_of(resolve(base + "contexts: [{name: c, context: {cluster: k, user: x}}]", "c")),
            "/home/me/.kube/config: context \"c\": its user \"x\" is not defined under users");
  EXPECT_EQ(text_of(resolve(base + "contexts: [{name: c}]", "c")),
            "/home/me/.kube/config: context \"c\": it names no cluster");
}

TEST(KubeconfigContextTest, OneBrokenEntryDoesNotHurtTheOthers) {
  std::string const yaml =
      "clusters: [{name: good, cluster: {server: 'https://h'}}, {name: bad, cluster: {}}]\n"
      "users: [{name: bad, user: {token: a, username: b}}]\n"
      "contexts: [{name: g, context: {cluster: good}}, {name: b1, context: {cluster: bad}},"
      "{name: b2, context: {cluster: good, user: bad}}]\n";
  EXPECT_TRUE(resolve(yaml, "g"));
  EXPECT_EQ(text_of(resolve(yaml, "b1")),
            "/home/me/.kube/config: cluster \"bad\": it has no server");
  EXPECT_THAT(text_of(resolve(yaml, "b2")), HasSubstr("user \"bad\""));
}

// ---- cluster

TEST(KubeconfigClusterTest, ReadsServers) {
  struct Row {
    char const* url;
    Server server;
  };
  Row const rows[] = {
      {"https://h", {true, "h", 443, ""}},
      {"https://h/", {true, "h", 443, ""}},
      {"https://h:6443", {true, "h", 6443, ""}},
      {"http://h", {false, "h", 80, ""}},
      {"http://localhost:8080", {false, "localhost", 8080, ""}},
      {"https://10.0.0.1:6443/k8s/clusters/c-1/", {true, "10.0.0.1", 6443, "/k8s/clusters/c-1"}},
      {"https://h/a?x=y#z", {true, "h", 443, "/a"}},
      {"https://h?x=/y", {true, "h", 443, ""}},
      {"https://[::1]:6443", {true, "::1", 6443, ""}},
      {"https://[fd00::1]", {true, "fd00::1", 443, ""}},
      {"https://h:", {true, "h", 443, ""}},
      {"https://my-host_1.example.", {true, "my-host_1.example.", 443, ""}},
      {"h", {false, "h", 80, ""}},
      {"h:8080", {false, "h", 8080, ""}},
      {"h:8080/", {false, "h", 8080, ""}},
      {"10.0.0.1:8080", {false, "10.0.0.1", 8080, ""}},
  };
  for (Row const& row : rows) {
    auto const resolved = resolve(with("server: '" + std::string(row.url) + "'"));
    ASSERT_TRUE(resolved) << resolved.error().text;
    EXPECT_EQ(resolved->access.server, row.server) << row.url;
  }
}

TEST(KubeconfigClusterTest, AHostWithoutSchemeIsHttpsIfTlsIsConfigured) {
  for (char const* more : {"certificate-authority-data: QQ==", "certificate-authority: /etc/ca.pem",
                           "insecure-skip-tls-verify: true"}) {
    auto const resolved = resolve(with("server: 'h:6443', " + std::string(more)));
    ASSERT_TRUE(resolved) << resolved.error().text;
    EXPECT_EQ(resolved->access.server, (Server{true, "h", 6443, ""})) << more;
  }
}

TEST(KubeconfigClusterTest, RefusesServersThatAreNone) {
  for (char const* url : {"ftp://h",
                          "https://",
                          "https:///x",
                          "https://h:0",
                          "https://h:65536",
                          "https://h:x",
                          "https://h:-1",
                          "https://[::1",
                          "https://::1",
                          "https://[::1]x",
                          "https://[::1]:x",
                          "https://[h]",
                          "https://a b",
                          "https://h/a b",
                          "https://h\\r\\nX: y",
                          "https://h/\\x01",
                          "h/path",
                          "https://user:s3cret@h",
                          "https://s3cret@h",
                          "https://h\xC3\xA9",
                          "https://[]",
                          "https://a\\u0000b",
                          "://h",
                          "unix:///x",
                          "https://h:6443:1"}) {
    auto const text = text_of(resolve(with("server: \"" + std::string(url) + "\"")));
    EXPECT_THAT(text, AllOf(StartsWith("/home/me/.kube/config: cluster \"k\": server "),
                            HasSubstr("https://HOST:PORT"), Not(HasSubstr("s3cret"))))
        << url;
  }
}

TEST(KubeconfigClusterTest, ReadsTheCaFromItsFile) {
  auto const resolved = resolve(with("server: 'https://h', certificate-authority: /etc/ca.pem"));
  ASSERT_TRUE(resolved);
  EXPECT_EQ(resolved->access.tls.ca_pem, "CA FILE");
}

TEST(KubeconfigClusterTest, ValidationErrors) {
  std::pair<char const*, char const*> const rows[] = {
      {"tls-server-name: x", "it has no server"},
      {"server: 'https://h', certificate-authority: /etc/ca.pem, certificate-authority-data: QQ==",
       "certificate-authority and certificate-authority-data are both set: remove one"},
      {"server: 'https://h', certificate-authority: /none.pem",
       "certificate-authority /none.pem cannot be read: No such file or directory"},
      {"server: 'https://h', certificate-authority: /locked.pem",
       "certificate-authority /locked.pem cannot be read: Permission denied"},
      {"server: 'https://h', certificate-authority: /empty.pem",
       "certificate-authority /empty.pem is empty"},
      {"server: 'https://h', certificate-authority: /huge.pem",
       "certificate-authority /huge.pem is larger than 1024 KiB"},
      {"server: 'https://h', insecure-skip-tls-verify: true, certificate-authority-data: QQ==",
       "insecure-skip-tls-verify and a certificate-authority exclude each other: remove "
       "insecure-skip-tls-verify"},
      {"server: 'https://h', insecure-skip-tls-verify: true, certificate-authority: /etc/ca.pem",
       "insecure-skip-tls-verify and a certificate-authority exclude each other: remove "
       "insecure-skip-tls-verify"},
      {"server: 'https://h', tls-server-name: \"a\\nb\"",
       "tls-server-name has control characters or line breaks"},
      {"server: 'https://h', proxy-url: 'ftp://u:s3cret@p'",
       "proxy-url does not begin with http://, https:// or socks5://"},
      {"server: 'https://h', proxy-url: 's3cret'",
       "proxy-url does not begin with http://, https:// or socks5://"},
      {"server: 'https://h', proxy-url: 'socks5h://u:s3cret@p'",
       "proxy-url does not begin with http://, https:// or socks5://"},
      {"server: 'https://h', proxy-url: 'http://u:s3cret@'",
       "proxy-url has no valid host: write it as http://, https:// or socks5://HOST:PORT"},
  };
  for (auto const& [cluster, expected] : rows) {
    FakeMachine machine;
    machine.files["/etc/ca.pem"] = "CA";
    machine.files["/empty.pem"] = "";
    machine.files["/huge.pem"] = std::string(kMaxPemFileSize + 1, 'x');
    machine.unreadable.insert("/locked.pem");
    EXPECT_EQ(text_of(resolve_in(machine, with(cluster))),
              "/home/me/.kube/config: cluster \"k\": " + std::string(expected));
  }
}

TEST(KubeconfigClusterTest, InsecureIsWarnedOf) {
  for (char const* yes : {"true", "True", "yes", "on"}) {
    auto const resolved =
        resolve(with("server: 'https://h', insecure-skip-tls-verify: " + std::string(yes)));
    ASSERT_TRUE(resolved) << resolved.error().text;
    EXPECT_TRUE(resolved->access.tls.insecure);
    EXPECT_THAT(resolved->warnings,
                ElementsAre(HasSubstr("cluster \"k\": insecure-skip-tls-verify")));
  }
  auto const secure = resolve(with("server: 'https://h', insecure-skip-tls-verify: false"));
  ASSERT_TRUE(secure);
  EXPECT_FALSE(secure->access.tls.insecure);
  EXPECT_THAT(secure->warnings, IsEmpty());
}

TEST(KubeconfigClusterTest, ProxyUrlWinsOverTheEnvironment) {
  FakeMachine machine;
  machine.variables["HTTPS_PROXY"] = "http://other:3128";
  machine.variables["NO_PROXY"] = "*";
  auto const resolved =
      resolve_in(machine, with("server: 'https://h', proxy-url: 'SOCKS5://u:s3cret@p'"));
  ASSERT_TRUE(resolved) << resolved.error().text;
  ASSERT_TRUE(resolved->access.proxy);
  EXPECT_EQ(resolved->access.proxy->kind, net::Proxy::Kind::socks5);
  EXPECT_EQ(resolved->access.proxy->password, "s3cret");
}

TEST(KubeconfigClusterTest, TheEnvironmentsProxy) {
  FakeMachine machine;
  EXPECT_FALSE(resolve_in(machine, with("server: 'https://h'"))->access.proxy);
  machine.variables["HTTPS_PROXY"] = "http://secure:1";
  machine.variables["HTTP_PROXY"] = "http://plain:2";
  EXPECT_EQ(resolve_in(machine, with("server: 'https://h'"))->access.proxy->host, "secure");
  EXPECT_EQ(resolve_in(machine, with("server: 'http://h'"))->access.proxy->host, "plain");
  EXPECT_FALSE(resolve_in(machine, with("server: 'https://127.0.0.1'"))->access.proxy);
  machine.variables["HTTPS_PROXY"] = "ftp://u:s3cret@p";
  EXPECT_EQ(text_of(resolve_in(machine, with("server: 'https://h'"))),
            "the environment variable HTTPS_PROXY is of a kind that is not possible: write it as "
            "http://, https:// or socks5://HOST:PORT");
}

// ---- user

TEST(KubeconfigUserTest, ReadsCredentials) {
  auto const token = resolve(with_user("token: abc, tokenFile: /t"));
  ASSERT_TRUE(token) << token.error().text;
  EXPECT_EQ(token->access.auth.token, "abc");
  EXPECT_EQ(token->access.auth.token_file, "/t");
  auto const basic = resolve(with_user("username: me, password: \"p w\\n\""));
  ASSERT_TRUE(basic) << basic.error().text;
  EXPECT_EQ(basic->access.auth.username, "me");
  EXPECT_EQ(basic->access.auth.password, "p w\n");
  auto const files =
      resolve(with_user("client-certificate: /etc/cert.pem, client-key: /etc/key.pem"));
  ASSERT_TRUE(files) << files.error().text;
  EXPECT_EQ(files->access.tls.cert_pem, "CERT FILE");
  EXPECT_EQ(files->access.tls.key_pem, "KEY FILE");
  auto const mixed = resolve(with_user("client-certificate-data: QQ==, client-key: /etc/key.pem"));
  ASSERT_TRUE(mixed) << mixed.error().text;
  EXPECT_EQ(mixed->access.tls.cert_pem, "A");
  EXPECT_EQ(mixed->access.tls.key_pem, "KEY FILE");
}

TEST(KubeconfigUserTest, NumbersInQuotesAndNullsAreText) {
  auto const resolved = resolve(with_user("token: '12345', username: ~, password: null"));
  ASSERT_TRUE(resolved) << resolved.error().text;
  EXPECT_EQ(resolved->access.auth.token, "12345");
  EXPECT_EQ(resolved->access.auth.username, "");
  EXPECT_EQ(text_of(resolve(with_user("token: 12345"))),
            "/home/me/.kube/config: user \"u\": token is a number or a truth value, not text: put "
            "it in quotes");
}

TEST(KubeconfigUserTest, ReadsImpersonation) {
  auto const resolved = resolve(with_user(
      "token: t, as: jane, as-uid: u1, as-groups: [dev, ops], as-user-extra: {scope: [a, b]}"));
  ASSERT_TRUE(resolved) << resolved.error().text;
  EXPECT_EQ(resolved->access.auth.impersonation,
            (Impersonation{"jane", "u1", {"dev", "ops"}, {{"scope", {"a", "b"}}}}));
}

TEST(KubeconfigUserTest, ValidationErrors) {
  std::string const v1 = "apiVersion: client.authentication.k8s.io/v1";
  std::string const both = " are both set: remove one";
  std::pair<std::string, std::string> const rows[] = {
      {"client-certificate-data: QQ==", "client-certificate is set but client-key is not"},
      {"client-certificate: /etc/cert.pem", "client-certificate is set but client-key is not"},
      {"client-certificate: /etc/cert.pem, client-certificate-data: QQ==, client-key-data: QQ==",
       "client-certificate and client-certificate-data" + both},
      {"client-certificate-data: QQ==, client-key-data: QQ==, client-key: /etc/key.pem",
       "client-key and client-key-data" + both},
      {"client-certificate: /none, client-key: /etc/key.pem",
       "client-certificate /none cannot be read: No such file or directory"},
      {"client-certificate: /etc/cert.pem, client-key: /none",
       "client-key /none cannot be read: No such file or directory"},
      {"token: s3cret, username: a", "a token and username/password" + both},
      {"token: s3cret, password: s3cret", "a token and username/password" + both},
      {"tokenFile: /t, username: a, password: s3cret", "a token and username/password" + both},
      {"token: \"s3cret\\r\\nX-Evil: 1\"", "token has control characters or line breaks"},
      {"tokenFile: \"/a\\nb\"", "tokenFile has control characters or line breaks"},
      {"as-uid: a", "as-uid, as-groups and as-user-extra need as, the user to act as"},
      {"as-groups: [a]", "as-uid, as-groups and as-user-extra need as, the user to act as"},
      {"as-user-extra: {a: [b]}",
       "as-uid, as-groups and as-user-extra need as, the user to act as"},
      {"as: \"a\\nb\"", "as has control characters or line breaks"},
      {"as: a, as-uid: \"\\x7f\"", "as-uid has control characters or line breaks"},
      {"as: a, as-groups: [\"a\\nb\"]", "as-groups has control characters or line breaks"},
      {"as: a, as-user-extra: {k: [\"a\\nb\"]}",
       "as-user-extra has control characters or line breaks"},
      {"exec: {command: x, " + v1 + ", interactiveMode: Never}, auth-provider: {name: oidc}",
       "exec and auth-provider" + both},
      {"exec: {" + v1 + ", interactiveMode: Never}", "exec has no command"},
      {"exec: {command: x}", "exec has no apiVersion"},
      {"exec: {command: x, apiVersion: client.authentication.k8s.io/v1alpha1}",
       "exec: apiVersion is not client.authentication.k8s.io/v1 or v1beta1: update the plugin's "
       "configuration"},
      {"exec: {command: x, " + v1 + "}",
       "exec: interactiveMode is missing: Never, IfAvailable or Always"},
      {"exec: {command: x, " + v1 + ", interactiveMode: Sometimes}",
       "exec: interactiveMode is not Never, IfAvailable or Always"},
      {"exec: {command: x, " + v1 + ", interactiveMode: Never, env: [{value: s3cret}]}",
       "exec: an env variable has no name"},
  };
  for (auto const& [user, expected] : rows) {
    EXPECT_EQ(text_of(resolve(with_user(user))), "/home/me/.kube/config: user \"u\": " + expected);
  }
}

TEST(KubeconfigUserTest, ReadsPlugins) {
  std::string const exec =
      "exec: {apiVersion: client.authentication.k8s.io/v1beta1, command: aws, args: [eks, "
      "get-token], env: [{name: A, value: b}], installHint: get it}";
  auto const resolved = resolve(with_user(exec));
  ASSERT_TRUE(resolved) << resolved.error().text;
  EXPECT_EQ(resolved->access.auth.exec, (ExecConfig{"client.authentication.k8s.io/v1beta1",
                                                    "aws",
                                                    {"eks", "get-token"},
                                                    {{"A", "b"}},
                                                    "get it",
                                                    "",
                                                    false}));
  EXPECT_EQ(resolved->access.auth.exec_cluster, std::nullopt);
}

TEST(KubeconfigUserTest, PluginsAreToldOfTheClusterWhereTheyAsk) {
  std::string const exec =
      "exec: {apiVersion: client.authentication.k8s.io/v1beta1, command: aws, "
      "provideClusterInfo: true}";
  auto const resolved = resolve(
      with("server: 'https://h/p/', certificate-authority-data: QQ==, tls-server-name: s, "
           "proxy-url: 'http://p:1', disable-compression: true, extensions: [{name: other, "
           "extension: 1}, {name: client.authentication.k8s.io/exec, extension: {a: \"x\\ny\", b: "
           "[1, -2.5, true, '3', ~, yes, {}], \"c\\\"\": {d: []}}}]",
           exec));
  ASSERT_TRUE(resolved) << resolved.error().text;
  ExecClusterInfo expected;
  expected.server = "https://h/p/";
  expected.tls_server_name = "s";
  expected.ca_pem = "A";
  expected.proxy_url = "http://p:1";
  expected.disable_compression = true;
  expected.config = R"({"a":"x\ny","b":[1,-2.5,true,"3",null,"yes",{}],"c\"":{"d":[]}})";
  ASSERT_TRUE(resolved->access.auth.exec_cluster);
  EXPECT_EQ(resolved->access.auth.exec_cluster->config, expected.config);
  EXPECT_EQ(resolved->access.auth.exec_cluster, expected);
}

TEST(KubeconfigUserTest, AnExtensionIsBounded) {
  std::string const head =
      "server: 'https://h', extensions: [{name: client.authentication.k8s.io/exec, extension: ";
  EXPECT_THAT(text_of(resolve(with(head + std::string(80, '[') + std::string(80, ']') + "}]"))),
              HasSubstr("extension is too large"));
  std::string const text(10'000, 'x');
  std::string list;
  for (int i = 0; i < 20; ++i) list += text + ", ";
  EXPECT_THAT(text_of(resolve(with(head + "[" + list + "]}]"))),
              HasSubstr("extension is too large"));
  EXPECT_THAT(text_of(resolve(with(head + std::string(150'000, 'x') + "}]"))),
              HasSubstr("extension is too large"));
}

TEST(KubeconfigUserTest, ProvidersAreRefusedWithWhatToUseInstead) {
  std::pair<char const*, char const*> const rows[] = {{"gcp", "gke-gcloud-auth-plugin"},
                                                      {"azure", "kubelogin convert-kubeconfig"},
                                                      {"oidc", "kubectl oidc-login"},
                                                      {"other", "use an exec plugin or a token"}};
  for (auto const& [name, cure] : rows) {
    std::string const text = text_of(
        resolve(with_user("auth-provider: {name: " + std::string(name) + "}")), Errc::unsupported);
    EXPECT_THAT(text, HasSubstr("auth-provider " + std::string(name) + " is not supported"));
    EXPECT_THAT(text, HasSubstr(cure));
  }
}

TEST(KubeconfigUserTest, PluginsAreSkippedBesideOtherCredentials) {
  std::string const exec = "exec: {apiVersion: client.authentication.k8s.io/v1beta1, command: aws}";
  for (char const* user : {"token: t", "tokenFile: /t", "username: a",
                           "client-certificate-data: QQ==, client-key-data: QQ=="}) {
    auto const resolved = resolve(with_user(exec + ", " + user));
    ASSERT_TRUE(resolved) << user;
    EXPECT_EQ(resolved->access.auth.exec, std::nullopt);
    EXPECT_TRUE(resolve(with_user("auth-provider: {name: oidc}, " + std::string(user)))) << user;
  }
}

TEST(KubeconfigUserTest, CredentialsAreOnlyForHttps) {
  for (char const* user :
       {"token: t", "tokenFile: /t", "username: a, password: b",
        "client-certificate: /etc/cert.pem, client-key: /etc/key.pem",
        "exec: {apiVersion: client.authentication.k8s.io/v1beta1, command: aws}"}) {
    auto const resolved = resolve(with("server: 'http://h'", user + std::string(", as: jane")));
    ASSERT_TRUE(resolved) << resolved.error().text;
    Auth expected;
    expected.impersonation.user = "jane";
    EXPECT_EQ(resolved->access.auth, expected) << user;
    EXPECT_EQ(resolved->access.tls, ServerTls()) << user;
    EXPECT_THAT(resolved->warnings, ElementsAre(HasSubstr("not sent, because the server is not "
                                                          "https")))
        << user;
  }
  auto const anonymous = resolve(with("server: 'http://h'"));
  ASSERT_TRUE(anonymous);
  EXPECT_THAT(anonymous->warnings, IsEmpty());
}

TEST(KubeconfigUserTest, AKeyAloneIsWarnedOf) {
  auto const resolved = resolve(with_user("token: t, client-key-data: QQ=="));
  ASSERT_TRUE(resolved);
  EXPECT_EQ(resolved->access.tls.key_pem, "");
  EXPECT_THAT(resolved->warnings, ElementsAre(HasSubstr("client-key is not used")));
}

// ---- in a pod

FakeMachine machine_in_pod() {
  FakeMachine machine;
  machine.variables["KUBERNETES_SERVICE_HOST"] = "10.96.0.1";
  machine.variables["KUBERNETES_SERVICE_PORT"] = "443";
  std::string const folder = "/var/run/secrets/kubernetes.io/serviceaccount/";
  machine.files[folder + "token"] = "t";
  machine.files[folder + "ca.crt"] = "CA";
  machine.files[folder + "namespace"] = "tools\n";
  return machine;
}

Result<ResolvedContext> resolve_default(FakeMachine& machine, std::string const& name = "") {
  auto const config = machine.load();
  if (!config) return config.error();
  return resolve_context(*config, name, machine.environment());
}

TEST(KubeconfigInClusterTest, IsUsedWhenNoFileSaysAnything) {
  FakeMachine machine = machine_in_pod();
  auto const resolved = resolve_default(machine);
  ASSERT_TRUE(resolved) << resolved.error().text;
  EXPECT_EQ(resolved->context, "");
  EXPECT_EQ(resolved->namespace_, "tools");
  ClusterAccess expected;
  expected.server = {true, "10.96.0.1", 443, ""};
  expected.tls.ca_pem = "CA";
  expected.tls.ca_source = "/var/run/secrets/kubernetes.io/serviceaccount/ca.crt";
  expected.auth.token_file = "/var/run/secrets/kubernetes.io/serviceaccount/token";
  EXPECT_EQ(resolved->access, expected);
  machine.variables["POD_NAMESPACE"] = "mine";
  EXPECT_EQ(resolve_default(machine)->namespace_, "mine");
  machine.variables["POD_NAMESPACE"] = "";
  machine.files.erase("/var/run/secrets/kubernetes.io/serviceaccount/namespace");
  EXPECT_EQ(resolve_default(machine)->namespace_, "default");
  machine.variables["KUBERNETES_SERVICE_HOST"] = "fd00::1";
  EXPECT_EQ(resolve_default(machine)->access.server.host, "fd00::1");
}

TEST(KubeconfigInClusterTest, IsNotUsedOtherwise) {
  FakeMachine with_file = machine_in_pod();
  with_file.files["/home/me/.kube/config"] = kFull;
  EXPECT_EQ(resolve_default(with_file)->context, "staging");
  FakeMachine named = machine_in_pod();
  EXPECT_EQ(resolve_default(named, "x").error().code, Errc::no_such_context);
  FakeMachine no_token = machine_in_pod();
  no_token.files.erase("/var/run/secrets/kubernetes.io/serviceaccount/token");
  EXPECT_EQ(resolve_default(no_token).error().code, Errc::no_such_context);
  FakeMachine no_host = machine_in_pod();
  no_host.variables.erase("KUBERNETES_SERVICE_HOST");
  EXPECT_EQ(resolve_default(no_host).error().code, Errc::no_such_context);
  FakeMachine explicit_file = machine_in_pod();
  explicit_file.files["/empty"] = "";
  EXPECT_FALSE(explicit_file.load("/empty")->in_cluster);
  FakeMachine bad_port = machine_in_pod();
  bad_port.variables["KUBERNETES_SERVICE_PORT"] = "https";
  EXPECT_EQ(resolve_default(bad_port).error().code, Errc::kubeconfig);
}

TEST(KubeconfigInClusterTest, AMissingCaIsWarnedOf) {
  FakeMachine machine = machine_in_pod();
  machine.files.erase("/var/run/secrets/kubernetes.io/serviceaccount/ca.crt");
  auto const resolved = resolve_default(machine);
  ASSERT_TRUE(resolved);
  EXPECT_THAT(resolved->warnings, ElementsAre(HasSubstr("ca.crt cannot be read")));
}

// ---- this machine

TEST(SystemEnvironmentTest, ReadsFilesUpToTheLimit) {
  namespace errc = boost::system::errc;
  std::string const path = testing::TempDir() + "kportal_environment_test";
  std::ofstream(path) << std::string(40'000, 'x');
  Environment const environment = system_environment();
  auto const whole = environment.read_file(path, 40'000);
  ASSERT_TRUE(whole);
  EXPECT_EQ(*whole, std::string(40'000, 'x'));
  EXPECT_EQ(environment.read_file(path, 39'999).error(), errc::file_too_large);
  EXPECT_EQ(environment.read_file("/dev/zero", 1000).error(), errc::file_too_large);
  EXPECT_EQ(environment.read_file(path + ".none", 1).error(), errc::no_such_file_or_directory);
  EXPECT_EQ(environment.read_file(testing::TempDir(), 1).error(), errc::is_a_directory);
  std::remove(path.c_str());
}

// As of "--kubeconfig <(command)"; and one that nobody writes to must not hold up anything.
TEST(SystemEnvironmentTest, APipeIsReadOnce) {
  namespace errc = boost::system::errc;
  int ends[2];
  ASSERT_EQ(pipe(ends), 0);
  std::string const path = "/dev/fd/" + std::to_string(ends[0]);
  ASSERT_EQ(write(ends[1], "text", 4), 4);
  close(ends[1]);
  Environment const environment = system_environment();
  auto const text = environment.read_file(path, 100);
  ASSERT_TRUE(text) << text.error().message();
  EXPECT_EQ(*text, "text");
  EXPECT_EQ(environment.read_file(path, 100).error(), errc::no_message);
  close(ends[0]);
  std::string const name = testing::TempDir() + "kportal_environment_fifo";
  ASSERT_EQ(mkfifo(name.c_str(), 0600), 0);
  EXPECT_EQ(environment.read_file(name, 100).error(), errc::no_message);
  std::remove(name.c_str());
  EXPECT_EQ(environment.read_file("/dev/null", 100).value(), "");
}

TEST(SystemEnvironmentTest, ReadsVariablesAndTheWorkingDirectory) {
  Environment const environment = system_environment();
  EXPECT_TRUE(environment.variable("PATH"));
  EXPECT_FALSE(environment.variable("KPORTAL_TEST_NO_SUCH_VARIABLE"));
  EXPECT_THAT(environment.working_directory, StartsWith("/"));
}

}  // namespace
}  // namespace kportal::k8s
