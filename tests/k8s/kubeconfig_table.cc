// SPDX-License-Identifier: MIT
#include "tests/k8s/kubeconfig_table.h"

namespace kportal::k8s {
namespace {

using Rows = std::vector<KubeconfigRow>;

constexpr char const* kTrusted = "server: '@A@', certificate-authority-data: @CA@";

std::string with(std::string const& cluster, std::string const& user) {
  return "apiVersion: v1\nkind: Config\ncurrent-context: c\n"
         "clusters: [{name: k, cluster: {" +
         cluster +
         "}}]\n"
         "users: [{name: u, user: {" +
         user +
         "}}]\n"
         "contexts: [{name: c, context: {cluster: k, user: u, namespace: shop}}]\n";
}

KubeconfigRow row(std::string name, std::string text, std::string expected) {
  KubeconfigRow result;
  result.name = std::move(name);
  result.files.emplace_back("kubeconfig", std::move(text));
  result.expected = std::move(expected);
  return result;
}

KubeconfigRow cluster_row(std::string name, std::string const& cluster, std::string expected) {
  return row(std::move(name), with(cluster, "token: t"), std::move(expected));
}

KubeconfigRow user_row(std::string name, std::string const& user, std::string expected) {
  return row(std::move(name), with(kTrusted, user), std::move(expected));
}

// `contexts` and what stands beside it, with a cluster k and a user u.
KubeconfigRow context_row(std::string name, std::string const& rest, std::string expected) {
  return row(std::move(name),
             "clusters: [{name: k, cluster: {" + std::string(kTrusted) +
                 "}}]\nusers: [{name: u, user: {token: t}}]\n" + rest,
             std::move(expected));
}

// One cluster, user and context, all of one name.
std::string whole(std::string const& name, std::string const& server, std::string const& more) {
  return "clusters: [{name: " + name + ", cluster: {server: '" + server +
         "', certificate-authority-data: @CA@}}]\nusers: [{name: " + name + ", user: {token: of-" +
         name + "}}]\ncontexts: [{name: " + name + ", context: {cluster: " + name +
         ", user: " + name + "}}]\n" + more;
}

KubeconfigRow list_row(std::string name, std::string list,
                       std::vector<std::pair<std::string, std::string>> files,
                       std::string expected) {
  KubeconfigRow result;
  result.name = std::move(name);
  result.files = std::move(files);
  result.list = std::move(list);
  result.expected = std::move(expected);
  return result;
}

KubeconfigRow explicit_row(std::string name, std::string path, std::string expected) {
  auto result = list_row(std::move(name), "other",
                         {{"kubeconfig", whole("a", "@A@", "current-context: a\n")},
                          {"other", whole("b", "@B@", "current-context: b\n")},
                          {"broken", "a: [\n"}},
                         std::move(expected));
  result.explicit_path = std::move(path);
  return result;
}

KubeconfigRow named_context(std::string name, std::string context, std::string expected) {
  auto result =
      list_row(std::move(name), "a:b",
               {{"a", whole("a", "@A@", "current-context: a\n")}, {"b", whole("b", "@B@", "")}},
               std::move(expected));
  result.context = std::move(context);
  return result;
}

KubeconfigRow but_kubectl(KubeconfigRow row, std::string what) {
  row.kubectl = std::move(what);
  return row;
}

void add_loading(Rows& rows) {
  std::string const a = whole("a", "@A@", "current-context: a\n");
  std::string const b = whole("b", "@B@", "current-context: b\n");
  rows.push_back(list_row("a list: the first current-context wins", "a:b", {{"a", a}, {"b", b}},
                          "A default Bearer of-a"));
  rows.push_back(list_row("a list: the other way round", "b:a", {{"a", a}, {"b", b}},
                          "B default Bearer of-b"));
  rows.push_back(list_row(
      "a list: entries from three files", "c:d:e",
      {{"c", "contexts: [{name: x, context: {cluster: k, user: u, namespace: dev}}]\n"},
       {"d", "clusters: [{name: k, cluster: {server: '@A@', certificate-authority-data: @CA@}}]\n"},
       {"e", "users: [{name: u, user: {token: t}}]\ncurrent-context: x\n"}},
      "A dev Bearer t"));
  rows.push_back(list_row(
      "a list: an entry of the first file wins whole", "a:b",
      {{"a", a}, {"b", "users: [{name: a, user: {token: other, as: bob}}]\ncurrent-context: zz\n"}},
      "A default Bearer of-a"));
  rows.push_back(list_row("a list: empty, missing and repeated names", ":nowhere::a:a:", {{"a", a}},
                          "A default Bearer of-a"));
  rows.push_back(list_row("a list: /dev/null and a good one", "/dev/null:a", {{"a", a}},
                          "A default Bearer of-a"));
  rows.push_back(list_row("a list: only /dev/null", "/dev/null", {{"a", a}}, "refused"));
  rows.push_back(list_row("a list: only missing names", "no:where", {{"a", a}}, "refused"));
  rows.push_back(list_row("a list: an empty file and a good one", "empty:a", {{"a", a}},
                          "A default Bearer of-a"));
  rows.push_back(list_row("a list: a broken file after a good one", "a:b",
                          {{"a", a}, {"b", "clusters: [\n"}}, "refused"));
  rows.push_back(list_row("a list: a directory", "sub:a", {{"a", a}}, "refused"));
  rows.push_back(
      list_row("a list: a relative name", "./sub/../a", {{"a", a}}, "A default Bearer of-a"));
  rows.push_back(list_row(
      "a list: relative files are of the defining file", "sub/k:a",
      {{"sub/k",
        "clusters: [{name: k, cluster: {server: '@A@', certificate-authority: ca.pem}}]\n"
        "users: [{name: u, user: {client-certificate: ../cert.pem, client-key: ./key.pem}}]\n"},
       {"a", "contexts: [{name: x, context: {cluster: k, user: u}}]\ncurrent-context: x\n"}},
      "A default cert:anna"));
  auto at_home = row("no KUBECONFIG: the file at home", "", "A default Bearer of-a");
  at_home.files = {{"home/.kube/config", a}};
  at_home.list.reset();
  rows.push_back(at_home);
  at_home.name = "an empty KUBECONFIG: the file at home";
  at_home.list = "";
  rows.push_back(at_home);
  rows.push_back(explicit_row("explicit: that file alone", "kubeconfig", "A default Bearer of-a"));
  rows.push_back(explicit_row("explicit: absolute", "@DIR@/kubeconfig", "A default Bearer of-a"));
  rows.push_back(explicit_row("explicit: missing", "nowhere", "refused"));
  rows.push_back(explicit_row("explicit: a directory", "sub", "refused"));
  rows.push_back(explicit_row("explicit: broken", "broken", "refused"));
  rows.push_back(explicit_row("explicit: empty", "empty", "refused"));
  rows.push_back(named_context("a context by its name", "b", "B default Bearer of-b"));
  rows.push_back(named_context("a context that is not there", "zz", "refused"));
}

void add_contexts(Rows& rows) {
  rows.push_back(context_row("a context without namespace",
                             "contexts: [{name: c, context: {cluster: k, user: u}}]\n"
                             "current-context: c\n",
                             "A default Bearer t"));
  // kubectl asks for a name and a password where there is no login, also where nobody can
  // type; we ask the server, which may know us by other means, or says 401.
  rows.push_back(
      but_kubectl(context_row("a context without user",
                              "contexts: [{name: c, context: {cluster: k, namespace: dev}}]\n"
                              "current-context: c\n",
                              "A dev"),
                  "refused"));
  rows.push_back(context_row("a context without cluster",
                             "contexts: [{name: c, context: {user: u}}]\ncurrent-context: c\n",
                             "refused"));
  rows.push_back(context_row("an unknown user",
                             "contexts: [{name: c, context: {cluster: k, user: who}}]\n"
                             "current-context: c\n",
                             "refused"));
  rows.push_back(context_row("an unknown cluster",
                             "contexts: [{name: c, context: {cluster: what, user: u}}]\n"
                             "current-context: c\n",
                             "refused"));
  rows.push_back(context_row("no current-context",
                             "contexts: [{name: c, context: {cluster: k, user: u}}]\n", "refused"));
  rows.push_back(context_row("a current-context that is not there",
                             "contexts: [{name: c, context: {cluster: k, user: u}}]\n"
                             "current-context: gone\n",
                             "refused"));
  rows.push_back(context_row("an odd name",
                             "contexts: [{name: 'arn:aws:eks:eu-1:12:cluster/Ä @b', context: "
                             "{cluster: k, user: u}}]\n"
                             "current-context: 'arn:aws:eks:eu-1:12:cluster/Ä @b'\n",
                             "A default Bearer t"));
  rows.push_back(context_row("the context is null",
                             "contexts: [{name: c, context: }]\ncurrent-context: c\n", "refused"));
  rows.push_back(context_row("a namespace that is a number",
                             "contexts: [{name: c, context: {cluster: k, user: u, namespace: "
                             "123}}]\ncurrent-context: c\n",
                             "refused"));
}

void add_clusters(Rows& rows) {
  rows.push_back(cluster_row("CA data", kTrusted, "A shop Bearer t"));
  rows.push_back(
      cluster_row("CA file", "server: '@A@', certificate-authority: ca.pem", "A shop Bearer t"));
  rows.push_back(cluster_row("CA file and data",
                             "server: '@A@', certificate-authority: ca.pem, "
                             "certificate-authority-data: @CA@",
                             "refused"));
  rows.push_back(
      cluster_row("CA file missing", "server: '@A@', certificate-authority: no.pem", "refused"));
  rows.push_back(
      cluster_row("CA file empty", "server: '@A@', certificate-authority: empty", "refused"));
  rows.push_back(cluster_row("CA data that is no PEM",
                             "server: '@A@', certificate-authority-data: Z2FyYmFnZQ==", "refused"));
  rows.push_back(cluster_row("CA data that is no base64",
                             "server: '@A@', certificate-authority-data: '***'", "refused"));
  rows.push_back(
      cluster_row("another CA", "server: '@A@', certificate-authority-data: @OTHERCA@", "refused"));
  rows.push_back(cluster_row("the system's roots", "server: '@A@'", "refused"));
  rows.push_back(
      cluster_row("insecure", "server: '@A@', insecure-skip-tls-verify: true", "A shop Bearer t"));
  rows.push_back(cluster_row(
      "insecure and a CA", std::string(kTrusted) + ", insecure-skip-tls-verify: true", "refused"));
  rows.push_back(cluster_row("tls-server-name",
                             std::string(kTrusted) + ", tls-server-name: localhost",
                             "A shop Bearer t"));
  rows.push_back(cluster_row("another tls-server-name",
                             std::string(kTrusted) + ", tls-server-name: kube.example", "refused"));
  rows.push_back(cluster_row("a path prefix",
                             "server: '@A@/rancher/c-1/', certificate-authority-data: @CA@",
                             "A/rancher/c-1 shop Bearer t"));
  rows.push_back(cluster_row("a query and a fragment",
                             "server: '@A@/p?x=1#y', certificate-authority-data: @CA@",
                             "A/p shop Bearer t"));
  // kubectl looks at the scheme before it has read the CA, and speaks http to a TLS port.
  rows.push_back(
      but_kubectl(cluster_row("no scheme, a CA",
                              "server: '127.0.0.1:@APORT@', certificate-authority-data: @CA@",
                              "A shop Bearer t"),
                  "refused"));
  // kubectl looks at the scheme before it has read the CA, and speaks http to a TLS port.
  rows.push_back(but_kubectl(
      cluster_row("no scheme, insecure",
                  "server: '127.0.0.1:@APORT@', insecure-skip-tls-verify: true", "A shop Bearer t"),
      "refused"));
  rows.push_back(cluster_row("no scheme, nothing of TLS", "server: '@PLAINHOST@'", "PLAIN shop"));
  rows.push_back(cluster_row("no scheme, a path",
                             "server: '127.0.0.1:@APORT@/p', certificate-authority-data: @CA@",
                             "refused"));
  rows.push_back(cluster_row("another scheme", "server: 'ftp://127.0.0.1:@APORT@'", "refused"));
  rows.push_back(cluster_row("a scheme in capitals",
                             "server: 'HTTPS://127.0.0.1:@APORT@', certificate-authority-data: "
                             "@CA@",
                             "A shop Bearer t"));
  rows.push_back(cluster_row("a server in spaces",
                             "server: ' @A@ ', certificate-authority-data: @CA@", "refused"));
  // kubectl sends what the URL says and forgets the user's token; we say where it belongs.
  rows.push_back(but_kubectl(cluster_row("a name and its password in the server",
                                         "server: 'https://a:b@127.0.0.1:@APORT@', "
                                         "certificate-authority-data: @CA@",
                                         "refused"),
                             "A shop Basic YTpi"));
  rows.push_back(cluster_row("a port beyond 65535",
                             "server: 'https://127.0.0.1:123456', certificate-authority-data: @CA@",
                             "refused"));
  rows.push_back(cluster_row("no server", "certificate-authority-data: @CA@", "refused"));
  rows.push_back(cluster_row("http: the token is not sent", "server: '@PLAIN@'", "PLAIN shop"));
  rows.push_back(row("http: impersonation is sent", with("server: '@PLAIN@'", "token: t, as: bob"),
                     "PLAIN shop user:bob"));
  rows.push_back(
      row("http: nor is a certificate",
          with("server: '@PLAIN@'", "client-certificate-data: @CERT@, client-key-data: @KEY@"),
          "PLAIN shop"));
  rows.push_back(
      row("http: nor is a password, and CA and insecure do not matter",
          with("server: '@PLAIN@', insecure-skip-tls-verify: true", "username: x, password: p"),
          "PLAIN shop"));
  rows.push_back(cluster_row("http: a path prefix", "server: '@PLAIN@/p'", "PLAIN/p shop"));
  rows.push_back(cluster_row("proxy-url of another scheme",
                             std::string(kTrusted) + ", proxy-url: 'ftp://127.0.0.1:1'",
                             "refused"));
  rows.push_back(cluster_row("proxy-url that is none",
                             std::string(kTrusted) + ", proxy-url: 'nonsense'", "refused"));
  rows.push_back(cluster_row("proxy-url where nobody listens",
                             std::string(kTrusted) + ", proxy-url: 'http://127.0.0.1:1'",
                             "refused"));
  rows.push_back(cluster_row("disable-compression and extensions",
                             std::string(kTrusted) +
                                 ", disable-compression: true, extensions: [{name: x, extension: "
                                 "{a: [1, {}]}}]",
                             "A shop Bearer t"));
}

void add_users(Rows& rows) {
  std::string const certificate = "client-certificate-data: @CERT@, client-key-data: @KEY@";
  // The same prompt.
  rows.push_back(but_kubectl(user_row("nothing", "", "A shop"), "refused"));
  rows.push_back(user_row("a token file", "tokenFile: token", "A shop Bearer from-file"));
  rows.push_back(user_row("a token and a token file", "token: t, tokenFile: token",
                          "A shop Bearer from-file"));
  rows.push_back(user_row("a token file that is missing", "tokenFile: nowhere", "refused"));
  rows.push_back(user_row("a token file that is empty", "tokenFile: empty", "refused"));
  rows.push_back(user_row("a token and a token file that is missing",
                          "token: t, tokenFile: nowhere", "A shop Bearer t"));
  rows.push_back(
      user_row("a name and a password", "username: x, password: y:z", "A shop Basic eDp5Ono="));
  rows.push_back(user_row("a name without password", "username: x", "A shop Basic eDo="));
  rows.push_back(
      but_kubectl(user_row("a password without name", "password: p", "A shop"), "refused"));
  rows.push_back(
      user_row("a token and a password", "token: t, username: x, password: p", "refused"));
  rows.push_back(user_row("a certificate", certificate, "A shop cert:anna"));
  rows.push_back(user_row("a certificate and a token", certificate + ", token: t",
                          "A shop cert:anna Bearer t"));
  rows.push_back(user_row("certificate files",
                          "client-certificate: sub/cert.pem, client-key: '@DIR@/key.pem'",
                          "A shop cert:anna"));
  rows.push_back(user_row("a certificate as data, its key as a file",
                          "client-certificate-data: @CERT@, client-key: key.pem",
                          "A shop cert:anna"));
  rows.push_back(
      user_row("a certificate without key", "client-certificate-data: @CERT@", "refused"));
  // The same prompt.
  rows.push_back(but_kubectl(
      user_row("a key without certificate", "client-key-data: @KEY@", "A shop"), "refused"));
  rows.push_back(user_row("a certificate as file and as data",
                          certificate + ", client-certificate: cert.pem", "refused"));
  rows.push_back(
      user_row("a key as file and as data", certificate + ", client-key: key.pem", "refused"));
  rows.push_back(user_row("a certificate file that is missing",
                          "client-certificate: no.pem, client-key: key.pem", "refused"));
  rows.push_back(user_row("a certificate that is no PEM",
                          "client-certificate: token, client-key: key.pem", "refused"));
  rows.push_back(user_row("impersonation",
                          "token: t, as: bob, as-uid: '7', as-groups: [g, h], as-user-extra: "
                          "{Some/key: [v]}",
                          "A shop Bearer t extra-some%2fkey:v group:g, h uid:7 user:bob"));
  rows.push_back(user_row("impersonation without user", "token: t, as-groups: [g]", "refused"));
  rows.push_back(user_row("a token with a line break", "token: \"t\\nu\"", "refused"));
  rows.push_back(user_row("a token in spaces", "token: ' t '", "A shop Bearer  t"));
  rows.push_back(user_row("a token that is a number", "token: 123", "refused"));
  // The same prompt.
  rows.push_back(but_kubectl(
      user_row("null values", "token: , username: ~, as-groups: null", "A shop"), "refused"));
  // The same prompt.
  rows.push_back(but_kubectl(
      user_row("keys in other letters", "Token: t, TOKENFILE: token", "A shop"), "refused"));
  rows.push_back(user_row("unknown keys", "token: t, colour: {red: [1, 2]}", "A shop Bearer t"));
  rows.push_back(user_row("extensions", "token: t, extensions: [{name: e, extension: {}}]",
                          "A shop Bearer t"));
}

void add_plugins(Rows& rows) {
  std::string const v1 = "apiVersion: client.authentication.k8s.io/v1, interactiveMode: Never";
  rows.push_back(user_row("exec without command", "exec: {" + v1 + "}", "refused"));
  rows.push_back(user_row("exec without apiVersion",
                          "exec: {command: ./login.sh, interactiveMode: Never}", "refused"));
  rows.push_back(user_row("exec without interactiveMode",
                          "exec: {command: ./login.sh, apiVersion: "
                          "client.authentication.k8s.io/v1}",
                          "refused"));
  rows.push_back(user_row("exec of v1alpha1",
                          "exec: {command: ./login.sh, interactiveMode: Never, apiVersion: "
                          "client.authentication.k8s.io/v1alpha1}",
                          "refused"));
  rows.push_back(user_row("exec with another interactiveMode",
                          "exec: {command: ./login.sh, apiVersion: "
                          "client.authentication.k8s.io/v1, interactiveMode: Perhaps}",
                          "refused"));
  rows.push_back(user_row("exec and auth-provider",
                          "exec: {command: ./login.sh, " + v1 + "}, auth-provider: {name: oidc}",
                          "refused"));
  rows.push_back(user_row("exec and a token: the token",
                          "token: t, exec: {command: ./nowhere, " + v1 + "}", "A shop Bearer t"));
  rows.push_back(
      user_row("exec", "exec: {command: ./login.sh, " + v1 + "}", "A shop Bearer from-plugin"));
  rows.push_back(user_row("exec and impersonation",
                          "as: bob, exec: {command: '@DIR@/login.sh', " + v1 + "}",
                          "A shop Bearer from-plugin user:bob"));
  rows.push_back(user_row("exec with a number in env",
                          "exec: {command: ./login.sh, env: [{name: X, value: 1}], " + v1 + "}",
                          "refused"));
  rows.push_back(user_row("auth-provider gcp", "auth-provider: {name: gcp}", "refused"));
  rows.push_back(user_row("an unknown auth-provider", "auth-provider: {name: other}", "refused"));
}

void add_texts(Rows& rows) {
  std::string const good = with(kTrusted, "token: t");
  rows.push_back(row(
      "JSON",
      R"({"kind":"Config","apiVersion":"v1","current-context":"c/d","users":[{"name":"u","user":{"token":"t"}}],
"clusters":[{"name":"k","cluster":{"server":"@A@","certificate-authority-data":"@CA@"}}],
"contexts":[{"name":"c/d","context":{"cluster":"k","user":"u","namespace":"dev"}}]})",
      "A dev Bearer t"));
  rows.push_back(row("line ends of Windows",
                     "clusters:\r\n- name: k\r\n  cluster:\r\n    "
                     "server: @A@\r\n    certificate-authority-data: "
                     "@CA@\r\ncontexts:\r\n- name: c\r\n  context:\r\n    "
                     "cluster: k\r\n    user: u\r\ncurrent-context: c\r\nusers:\r\n- name: u\r\n  "
                     "user: {token: t}\r\n",
                     "A default Bearer t"));
  rows.push_back(row("a byte order mark", "\xEF\xBB\xBF" + good, "A shop Bearer t"));
  rows.push_back(row("a tab as indentation", good + "preferences:\n\tcolors: true\n", "refused"));
  rows.push_back(row("a NUL byte", good + std::string("x: \0\n", 5), "refused"));
  rows.push_back(row("a NUL in the token", with(kTrusted, "token: \"t\\0u\""), "refused"));
  rows.push_back(
      row("a file of another kind", "kind: Pod\n" + good.substr(good.find("current")), "refused"));
  rows.push_back(
      row("another version", "apiVersion: v2\n" + good.substr(good.find("kind")), "refused"));
  rows.push_back(
      row("no kind and no version", good.substr(good.find("current")), "A shop Bearer t"));
  rows.push_back(
      row("a second document", good + "---\ncurrent-context: other\n", "A shop Bearer t"));
  rows.push_back(row("anchors and aliases",
                     "users: [{name: u, user: {token: t}}]\n"
                     "x: &k {server: '@A@', certificate-authority-data: @CA@}\n"
                     "clusters: [{name: k, cluster: *k}]\n"
                     "contexts: [{name: c, context: {cluster: k, user: u}}]\ncurrent-context: c\n",
                     "A default Bearer t"));
  rows.push_back(row("a merge key",
                     "users: [{name: u, user: {token: t}}]\n"
                     "x: &k {certificate-authority-data: @CA@}\n"
                     "clusters: [{name: k, cluster: {<<: *k, server: '@A@'}}]\n"
                     "contexts: [{name: c, context: {cluster: k, user: u}}]\ncurrent-context: c\n",
                     "A default Bearer t"));
  rows.push_back(
      row("null sections", good + "preferences:\nextensions: null\n", "A shop Bearer t"));
  rows.push_back(row("sections that are null",
                     "clusters:\nusers: ~\ncontexts: null\ncurrent-context: ''\n", "refused"));
  rows.push_back(row("only a comment", "# nothing\n", "refused"));
  rows.push_back(row("plain text", "hello\n", "refused"));
  rows.push_back(row("a list", "- a\n- b\n", "refused"));
  rows.push_back(row("clusters as a map", "clusters: {k: {server: '@A@'}}\n", "refused"));
  rows.push_back(row("a key twice", good + "current-context: c\n", "A shop Bearer t"));
  rows.push_back(row("a field twice", with(std::string(kTrusted) + ", server: '@B@'", "token: t"),
                     "B shop Bearer t"));
  rows.push_back(row("two clusters of one name",
                     "clusters: [{name: k, cluster: {" + std::string(kTrusted) +
                         "}}, {name: k, cluster: {server: '@B@'}}]\n"
                         "contexts: [{name: c, context: {cluster: k}}]\ncurrent-context: c\n",
                     "refused"));
  rows.push_back(context_row("an entry without name",
                             "contexts: [{context: {cluster: k}}, {name: c, context: {cluster: k, "
                             "user: u}}]\ncurrent-context: c\n",
                             "A default Bearer t"));
  rows.push_back(row("a truth in quotes",
                     with("server: '@A@', insecure-skip-tls-verify: 'true'", "token: t"),
                     "refused"));
  rows.push_back(row("a truth of YAML 1.1",
                     with("server: '@A@', insecure-skip-tls-verify: yes", "token: t"),
                     "A shop Bearer t"));
  rows.push_back(row("base64 with line breaks",
                     with("server: '@A@', certificate-authority: ca.pem",
                          "client-certificate: cert.pem, client-key-data: \"@KEY@\\n\""),
                     "A shop cert:anna"));
  rows.push_back(row("base64 without padding",
                     with("server: '@A@', certificate-authority-data: Z2FyYmFnZQ", "token: t"),
                     "refused"));
  rows.push_back(row("a scalar where a map is due", good + "preferences: 3\n", "refused"));
}

// What a text without quotes is taken for; kubeconfig_scalar_test has more of them.
void add_scalars(Rows& rows) {
  rows.push_back(
      user_row("texts that begin as numbers do",
               "token: t, as: 1.2.3, as-groups: [0x, 0b12, 1e, 1e999, 2024-01-02, 12:30, yEs, "
               "inf, -, 18446744073709551616x]",
               "A shop Bearer t group:0x, 0b12, 1e, 1e999, 2024-01-02, 12:30, yEs, inf, -, "
               "18446744073709551616x user:1.2.3"));
  for (char const* const text : {"0x1F", "017", "1_000", "1e5", ".inf", "y"}) {
    rows.push_back(
        user_row(std::string("a token ") + text, std::string("token: ") + text, "refused"));
  }
}

}  // namespace

std::vector<KubeconfigRow> kubeconfig_table() {
  Rows rows;
  add_loading(rows);
  add_contexts(rows);
  add_clusters(rows);
  add_users(rows);
  add_plugins(rows);
  add_texts(rows);
  add_scalars(rows);
  return rows;
}

}  // namespace kportal::k8s
