// SPDX-License-Identifier: MIT
#include "config/parse.h"

#include <sys/stat.h>
#include <unistd.h>

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/config/support.h"

namespace kportal::config {
namespace {

using std::chrono::hours;
using std::chrono::minutes;
using std::chrono::seconds;
using testing::ElementsAre;
using testing::IsEmpty;

// One forward on line 6 and the following: each line of `keys` is indented by ten.
std::string forward_file(std::string const& keys) {
  std::string text = "contexts:\n- name: c\n  namespaces:\n  - name: n\n    forwards:\n    - ";
  for (char const c : keys) {
    text += c;
    if (c == '\n') text += "      ";
  }
  return text + "\n";
}
// With all that is required, on line 6; `keys` are line 7 and the following.
std::string full_forward(std::string const& keys) {
  return forward_file("{resource: svc/a, port: 80, localPort: 8080,\n" + keys + "}");
}
// Settings before a file without forwards.
std::string settings(std::string const& text) {
  return text + "\ncontexts: []\n";
}

Texts problems_of(std::string_view text, Environment const& env = environment()) {
  ParseOutcome const outcome = parse_text(text, env);
  EXPECT_EQ(outcome.config.has_value(), outcome.problems.empty());
  return texts(outcome.problems);
}
Texts warnings_of(std::string_view text) {
  ParseOutcome const outcome = parse_text(text);
  EXPECT_THAT(texts(outcome.problems), IsEmpty());
  return texts(outcome.warnings);
}
ForwardSpec forward_of(std::string_view text, Environment const& env = environment()) {
  ParseOutcome const outcome = parse_text(text, env);
  EXPECT_THAT(texts(outcome.problems), IsEmpty());
  if (!outcome.config || outcome.config->forwards.empty()) return {};
  return outcome.config->forwards.front();
}
Config config_of(std::string_view text) {
  ParseOutcome outcome = parse_text(text);
  EXPECT_THAT(texts(outcome.problems), IsEmpty());
  return outcome.config.value_or(Config());
}

TEST(ParseTest, FillsInDefaults) {
  ForwardSpec const spec = forward_of(forward_file("{resource: svc/a, port: 80, localPort: 8080}"));
  ForwardSpec expected;
  expected.context = "c";
  expected.namespace_ = "n";
  expected.target = Target{TargetKind::service, "a", ""};
  expected.resource = "svc/a";
  expected.port = "80";
  expected.local_port = 8080;
  expected.addresses = {"localhost"};
  EXPECT_EQ(spec, expected);
  EXPECT_EQ(spec.id(), "c/n/svc/a:8080");
  EXPECT_EQ(spec.health.interval, seconds(3));
}

TEST(ParseTest, ReadsEveryKeyOfAForward) {
  ForwardSpec const spec = forward_of(forward_file(
      "resource: pod\nselector: app=web,tier!=db\nport: http\nlocalPort: auto\nalias: api\n"
      "protocol: tcp\naddress: [127.0.0.2, '0::1']\ntags: [web, db, web]\nbalance: round-robin\n"
      "allowUnready: true\nlazy: yes\ndisabled: True\nhalfClose: hold\nhttpLog: false\n"
      "healthCheck: {interval: 1s, timeout: 1500ms, method: tcp-dial, podProbe: 0, startupGrace: "
      "1m,\n"
      "  maxConnectionAge: 1h, maxIdleTime: 0s}"));
  EXPECT_EQ(spec.target, (Target{TargetKind::pod, "", "app=web,tier!=db"}));
  EXPECT_EQ(spec.resource, "pod");
  EXPECT_EQ(spec.port, "http");
  EXPECT_EQ(spec.local_port, 0);
  EXPECT_EQ(spec.id(), "api:auto");
  EXPECT_THAT(spec.addresses, ElementsAre("127.0.0.2", "::1"));
  EXPECT_THAT(spec.tags, ElementsAre("web", "db"));
  EXPECT_EQ(spec.balance, Balance::round_robin);
  EXPECT_EQ(spec.half_close, HalfClose::hold);
  EXPECT_TRUE(spec.allow_unready && spec.lazy && spec.disabled);
  HealthCheck expected;
  expected.interval = seconds(1);
  expected.timeout = milliseconds(1500);
  expected.method = ProbeMethod::tcp_dial;
  expected.pod_probe = milliseconds(0);
  expected.startup_grace = minutes(1);
  expected.max_connection_age = hours(1);
  expected.max_idle_time = milliseconds(0);
  EXPECT_EQ(spec.health, expected);
}

TEST(ParseTest, ReadsEveryKeyOfReliability) {
  Config const config = config_of(settings(
      "reliability: {tcpKeepalive: 1s, dialTimeout: 2s, retryOnStale: false, hold: 0,\n"
      "  watchdogPeriod: 3s, authTimeout: 4s, maxTunnels: 5, pingInterval: 6s, pingTimeout: 7s}"));
  Reliability expected;
  expected.tcp_keepalive = seconds(1);
  expected.dial_timeout = seconds(2);
  expected.retry_on_stale = false;
  expected.watchdog_period = seconds(3);
  expected.auth_timeout = seconds(4);
  expected.max_tunnels = 5;
  expected.ping_interval = seconds(6);
  expected.ping_timeout = seconds(7);
  expected.hold = seconds(0);
  EXPECT_EQ(config.reliability, expected);
}

TEST(ParseTest, PutsAForwardsHealthCheckOverTheFiles) {
  ForwardSpec const spec = forward_of("healthCheck: {interval: 7s, timeout: 1s, method: none}\n" +
                                      full_forward("healthCheck: {interval: 9s}"));
  EXPECT_EQ(spec.health.interval, seconds(9));
  EXPECT_EQ(spec.health.timeout, seconds(1));
  EXPECT_EQ(spec.health.method, ProbeMethod::none);
  EXPECT_EQ(spec.health.pod_probe, seconds(60));
}

TEST(ParseTest, ReadsTheHealthCheckWhereverItStands) {
  ForwardSpec const spec = forward_of(forward_file("{resource: svc/a, port: 80, localPort: 1}") +
                                      "healthCheck: {interval: 7s}");
  EXPECT_EQ(spec.health.interval, seconds(7));
}

TEST(ParseTest, KnowsTheCurrentContext) {
  for (char const* name : {"current", "''"}) {
    std::string text = full_forward("");
    text.replace(text.find("name: c"), 7, fmt::format("name: {}", name));
    ForwardSpec const spec = forward_of(text);
    EXPECT_EQ(spec.context, "");
    EXPECT_EQ(spec.id(), "current/n/svc/a:8080");
  }
}

TEST(ParseTest, MakesKubeconfigAbsolute) {
  auto const kubeconfig = [](std::string const& path) {
    return forward_of("contexts: [{name: c, kubeconfig: " + path +
                          ", namespaces: [{name: n, forwards: [{resource: svc/a, port: 1, "
                          "localPort: 1}]}]}]",
                      environment({{"HOME", "/home/u"}}))
        .kubeconfig;
  };
  EXPECT_EQ(kubeconfig("./k"), "/base/k");
  EXPECT_EQ(kubeconfig("../k/../l"), "/l");
  EXPECT_EQ(kubeconfig("/k"), "/k");
  EXPECT_EQ(kubeconfig("~/.kube/config"), "/home/u/.kube/config");
  EXPECT_EQ(kubeconfig("''"), "");
}

TEST(ParseTest, TakesEmptyAndNullForAbsent) {
  // kportal writes empty selectors and protocols for every forward.
  ForwardSpec const spec =
      forward_of(full_forward("selector: '', protocol: '', alias: '', tags: [], address: null, "
                              "httpLog: ~, healthCheck: null"));
  EXPECT_EQ(spec.id(), "c/n/svc/a:8080");
  EXPECT_THAT(spec.addresses, ElementsAre("localhost"));
  config_of(settings("healthCheck:\nreliability:\nmdns:"));
}

TEST(ParseTest, TakesTextFromAnyScalar) {
  ForwardSpec const spec = forward_of(full_forward("alias: 123, tags: [1, true]"));
  EXPECT_EQ(spec.alias, "123");
  EXPECT_THAT(spec.tags, ElementsAre("1", "true"));
}

TEST(ParseTest, ExpandsTheEnvironmentInEveryKindOfValue) {
  auto const env = environment({{"PORT", "81"}, {"YES", "true"}, {"D", "4s"}, {"T", "web"}});
  ForwardSpec const spec = forward_of(
      forward_file(
          "resource: svc/${T}\nport: ${PORT}\nlocalPort: ${NO:-8081}\nallowUnready: ${YES}\n"
          "tags: [\"${T}-1\"]\nhealthCheck: {interval: \"${D}\"}"),
      env);
  EXPECT_EQ(spec.resource, "svc/web");
  EXPECT_EQ(spec.port, "81");
  EXPECT_EQ(spec.local_port, 8081);
  EXPECT_TRUE(spec.allow_unready);
  EXPECT_THAT(spec.tags, ElementsAre("web-1"));
  EXPECT_EQ(spec.health.interval, seconds(4));
}

TEST(ParseTest, NamesTheKeyOfAnExpandedValue) {
  EXPECT_THAT(
      problems_of(forward_file("resource: svc/a\nport: 80\nlocalPort: ${PORT}"),
                  environment({{"PORT", "many"}})),
      ElementsAre("f.yaml:8:18: contexts[0].namespaces[0].forwards[0].localPort: must be a number "
                  "1..65535 or auto, not \"many\""));
}

TEST(ParseTest, RoundsDurationsUpToMilliseconds) {
  EXPECT_EQ(forward_of("healthCheck: {interval: 1us, timeout: 1.5ms}\n" + full_forward(""))
                .health.timeout,
            milliseconds(2));
}

struct Rejected {
  std::string text;
  std::string problem;  // after "f.yaml:"
};

constexpr std::string_view kForward = "contexts[0].namespaces[0].forwards[0].";

std::string at_forward(std::string_view place, std::string_view message) {
  return fmt::format("{}: {}{}", place, kForward, message);
}

TEST(ParseTest, RejectsWrongFiles) {
  Rejected const cases[] = {
      {"", "1:1: the file is empty; write at least contexts: []"},
      {"# nothing\n", "1:1: the file is empty; write at least contexts: []"},
      {"---\n", "2:1: the file is empty; write at least contexts: []"},
      {"[]",
       "1:1: must be a mapping with the keys healthCheck, reliability, mdns, contexts, not a list"},
      {"x",
       "1:1: must be a mapping with the keys healthCheck, reliability, mdns, contexts, not a "
       "single "
       "value"},
      {"mdns: {}", "1:1: contexts: is missing; write a list of contexts, or contexts: [] for none"},
      {"contexts:\n",
       "1:1: contexts: has no value; write a list of contexts, or contexts: [] for none"},
      {"contexts: ~\n",
       "1:11: contexts: has no value; write a list of contexts, or contexts: [] for none"},
      {"contexts: {}", "1:11: contexts: must be a list, not a mapping"},
      {"contexts: x", "1:11: contexts: must be a list, not a single value"},
      {"contexts: ''", "1:11: contexts: must be a list, not a single value"},
      {"contexts: [1]",
       "1:12: contexts[0]: must be a mapping with the keys name, kubeconfig, namespaces, not a "
       "single value"},
      {"contexts:\n-\n",
       "2:1: contexts[0]: must be a mapping with the keys name, kubeconfig, namespaces, not "
       "nothing"},
      {settings("context: []"), "1:1: context: unknown key; did you mean contexts?"},
      {settings("health_check: {}"), "1:1: health_check: unknown key; did you mean healthCheck?"},
      {settings("zzz: 1"),
       "1:1: zzz: unknown key; the keys here are healthCheck, reliability, mdns, contexts"},
      {settings("mdns: true"),
       "1:7: mdns: must be a mapping with the keys enabled, not a single value"},
      {settings("mdns: {enabled: 1}"), "1:17: mdns.enabled: must be true or false, not \"1\""},
  };
  for (Rejected const& c : cases) {
    EXPECT_THAT(problems_of(c.text), ElementsAre("f.yaml:" + c.problem)) << c.text;
  }
}

TEST(ParseTest, RejectsWrongSettings) {
  Rejected const cases[] = {
      {"healthCheck: {interval: 0}", "1:25: healthCheck.interval: must be greater than 0"},
      {"healthCheck: {interval: -1s}", "1:25: healthCheck.interval: must be greater than 0"},
      {"healthCheck: {interval: 3}",
       "1:25: healthCheck.interval: must be a duration with a unit, such as 3s, 250ms or 1m30s, "
       "not \"3\""},
      {"healthCheck: {interval: ''}",
       "1:25: healthCheck.interval: must be a duration with a unit, such as 3s, 250ms or 1m30s, "
       "not \"\""},
      {"healthCheck: {interval: [3s]}",
       "1:25: healthCheck.interval: must be a single value, not a list"},
      {"healthCheck: {timeout: 0s}", "1:24: healthCheck.timeout: must be greater than 0"},
      {"healthCheck: {podProbe: -1ns}", "1:25: healthCheck.podProbe: must not be negative"},
      {"healthCheck: {startupGrace: -1s}", "1:29: healthCheck.startupGrace: must not be negative"},
      {"healthCheck: {maxConnectionAge: -1s}",
       "1:33: healthCheck.maxConnectionAge: must not be negative"},
      {"healthCheck: {maxIdleTime: 876001h}",
       "1:28: healthCheck.maxIdleTime: must be at most 876000h"},
      {"healthCheck: {method: ping}",
       "1:23: healthCheck.method: must be data-transfer or tcp-dial or none, not \"ping\""},
      {"healthCheck: {intervall: 1s}",
       "1:15: healthCheck.intervall: unknown key; did you mean interval?"},
      {"healthCheck: 3s",
       "1:14: healthCheck: must be a mapping with the keys interval, timeout, method, podProbe, "
       "startupGrace, "
       "maxConnectionAge, maxIdleTime, not a single value"},
      {"reliability: {tcpKeepalive: -1s}", "1:29: reliability.tcpKeepalive: must not be negative"},
      {"reliability: {dialTimeout: 0}", "1:28: reliability.dialTimeout: must be greater than 0"},
      {"reliability: {watchdogPeriod: 0s}",
       "1:31: reliability.watchdogPeriod: must be greater than 0"},
      {"reliability: {authTimeout: 0}", "1:28: reliability.authTimeout: must be greater than 0"},
      {"reliability: {pingInterval: 0}", "1:29: reliability.pingInterval: must be greater than 0"},
      {"reliability: {pingTimeout: 0}", "1:28: reliability.pingTimeout: must be greater than 0"},
      {"reliability: {hold: -1s}", "1:21: reliability.hold: must not be negative"},
      {"reliability: {retryOnStale: maybe}",
       "1:29: reliability.retryOnStale: must be true or false, not \"maybe\""},
      {"reliability: {maxTunnels: 0}",
       "1:27: reliability.maxTunnels: must be a decimal number 1..256, not \"0\""},
      {"reliability: {maxTunnels: 0x8}",
       "1:27: reliability.maxTunnels: must be a decimal number 1..256, not \"0x8\""},
      {"reliability: {maxTunnels: 08}",
       "1:27: reliability.maxTunnels: must be a decimal number 1..256, not \"08\""},
      {"reliability: {maxTunnels: 99999999999}",
       "1:27: reliability.maxTunnels: must be a decimal number 1..256, not \"99999999999\""},
  };
  for (Rejected const& c : cases) {
    EXPECT_THAT(problems_of(settings(c.text)), ElementsAre("f.yaml:" + c.problem)) << c.text;
  }
}

TEST(ParseTest, RejectsWrongContextsAndNamespaces) {
  std::string const label =
      "must be lower-case letters, digits and -, with a letter or digit at both ends, at most 63 "
      "characters";
  Rejected const cases[] = {
      {"contexts: [{}]",
       "1:12: contexts[0].name: is missing; write the name of a context of the kubeconfig, "
       "or current|1:12: contexts[0].namespaces: is missing; write a list of namespaces"},
      {"contexts: [{name: ' x', namespaces: []}]",
       "1:19: contexts[0].name: \" x\" begins or ends with a blank|"
       "1:37: contexts[0].namespaces: must hold at least one namespace"},
      {"contexts: [{name: x, namespaces: [{}]}]",
       "1:35: contexts[0].namespaces[0].name: is missing; write the name of a namespace|"
       "1:35: contexts[0].namespaces[0].forwards: is missing; write a list of forwards"},
      {"contexts: [{name: x, namespaces: [{name: '', forwards: []}]}]",
       "1:42: contexts[0].namespaces[0].name: " + label +
           ", not \"\"|"
           "1:56: contexts[0].namespaces[0].forwards: must hold at least one forward"},
      {"contexts: [{name: x, namespaces: [{name: My_Ns, forwards: x}]}]",
       "1:42: contexts[0].namespaces[0].name: " + label +
           ", not \"My_Ns\"|"
           "1:59: contexts[0].namespaces[0].forwards: must be a list, not a single value"},
      {"contexts: [{name: x, kubeconfig: [], namespace: y, namespaces: [1]}]",
       "1:34: contexts[0].kubeconfig: must be a single value, not a list|"
       "1:38: contexts[0].namespace: unknown key; did you mean namespaces?|"
       "1:65: contexts[0].namespaces[0]: must be a mapping with the keys name, forwards, not a "
       "single value"},
      {"contexts: [{name: x, kubeconfig: \"a\\0b\", namespaces: []}]",
       "1:34: contexts[0].kubeconfig: \"a\\x00b\" is no path of a file|"
       "1:54: contexts[0].namespaces: must hold at least one namespace"},
  };
  for (Rejected const& c : cases) {
    std::string found;
    for (std::string const& text : problems_of(c.text)) {
      found += (found.empty() ? "" : "|") + text.substr(7);
    }
    EXPECT_EQ(found, c.problem) << c.text;
  }
}

TEST(ParseTest, RejectsForwardsWithoutWhatIsRequired) {
  EXPECT_THAT(
      problems_of(forward_file("{}")),
      ElementsAre(
          "f.yaml:" +
              at_forward("6:7",
                         "resource: is missing; write KIND/NAME, such as service/api, or pod "
                         "and a selector"),
          "f.yaml:" +
              at_forward("6:7", "port: is missing; write the remote port, a number or a name"),
          "f.yaml:" + at_forward("6:7", "localPort: is missing; write a port 1..65535, or auto")));
}

TEST(ParseTest, RejectsWrongForwards) {
  struct Case {
    char const* keys;
    std::string problem;
  };
  std::string const name =
      "the name must be lower-case letters, digits, - and ., with a letter or digit at both ends, "
      "at most 253 "
      "characters, not ";
  Case const cases[] = {
      {"resource: node/a\nport: 1\nlocalPort: 1",
       at_forward(
           "6:17",
           "resource: \"node\" is no kind; it is one of pod, service, deployment, statefulset, "
           "daemonset, replicaset, job, rc, as in service/api")},
      {"resource: svc/A\nport: 1\nlocalPort: 1", at_forward("6:17", "resource: " + name + "\"A\"")},
      {"resource: svc\nport: 1\nlocalPort: 1",
       at_forward("6:17", "resource: \"svc\" needs a name, as in svc/NAME")},
      {"resource: pod\nport: 1\nlocalPort: 1",
       at_forward("6:17", "resource: pod needs a name, as in pod/NAME, or a selector")},
      {"resource: pod/a\nselector: a=b\nport: 1\nlocalPort: 1",
       at_forward(
           "6:17",
           "resource: \"pod/a\" has a name, so it cannot have a selector too; selectors go with "
           "pod")},
      {"resource: pod\nselector: a in b\nport: 1\nlocalPort: 1",
       at_forward("7:17",
                  "selector: \"a in b\": in needs values in parentheses, such as in (a,b)")},
      {"resource: [a]\nport: 1\nlocalPort: 1",
       at_forward("6:17", "resource: must be a single value, not a list")},
      {"resource: svc/a\nport: 0\nlocalPort: 1",
       at_forward("7:13",
                  "port: must be a decimal number 1..65535 or the name of a port, not \"0\"")},
      {"resource: svc/a\nport: 1\nlocalPort: 65536",
       at_forward("8:18", "localPort: must be a number 1..65535 or auto, not \"65536\"")},
      {"resource: svc/a\nport: 1\nlocalPort: 0x50",
       at_forward("8:18", "localPort: must be a number 1..65535 or auto, not \"0x50\"")},
      {"resource: svc/a\nport: 1\nlocalPort: 1\nalias: ' a'",
       at_forward("9:14", "alias: \" a\" begins or ends with a blank")},
      {"resource: svc/a\nport: 1\nlocalPort: 1\nprotocol: UDP",
       at_forward("9:17", "protocol: must be tcp, not \"UDP\"")},
      {"resource: svc/a\nport: 1\nlocalPort: 1\naddress: example.com",
       at_forward("9:16", "address: must be localhost or an IP address, not \"example.com\"")},
      {"resource: svc/a\nport: 1\nlocalPort: 1\naddress: []",
       at_forward("9:16", "address: must hold at least one address")},
      {"resource: svc/a\nport: 1\nlocalPort: 1\naddress: [127.0.0.1, localhost]",
       at_forward("9:28", "address[1]: localhost is already covered by 127.0.0.1; leave one out")},
      {"resource: svc/a\nport: 1\nlocalPort: 1\naddress: {}",
       at_forward("9:16", "address: must be a single value, not a mapping")},
      {"resource: svc/a\nport: 1\nlocalPort: 1\ntags: web",
       at_forward("9:13", "tags: must be a list, such as [web]")},
      {"resource: svc/a\nport: 1\nlocalPort: 1\ntags: [a b]",
       at_forward("9:14", "tags[0]: \"a b\" holds a blank or a comma; a tag is one word")},
      {"resource: svc/a\nport: 1\nlocalPort: 1\nbalance: random",
       at_forward("9:16", "balance: must be pin or round-robin, not \"random\"")},
      {"resource: svc/a\nport: 1\nlocalPort: 1\nhalfClose: no",
       at_forward("9:18", "halfClose: must be pass or hold, not \"no\"")},
      {"resource: svc/a\nport: 1\nlocalPort: 1\nlazy: 2",
       at_forward("9:13", "lazy: must be true or false, not \"2\"")},
      {"resource: svc/a\nport: 1\nlocalPort: 1\nallowUnready: []",
       at_forward("9:21", "allowUnready: must be a single value, not a list")},
      {"resource: svc/a\nport: 1\nlocalPort: 1\nhealthCheck: {interval: 0}",
       at_forward("9:31", "healthCheck.interval: must be greater than 0")},
      {"resource: svc/a\nport: 1\nlocalPort: 1\nhttpLog: maybe",
       at_forward("9:16", "httpLog: must be true or false, not \"maybe\"")},
      {"resource: svc/a\nport: 1\nlocalPort: 1\nhttpLog: {enabled: x}",
       at_forward("9:26", "httpLog.enabled: must be true or false, not \"x\"")},
      {"resource: svc/a\nport: 1\nlocalPort: 1\nhttpLog: {maxBodySize: -1}",
       at_forward("9:30",
                  "httpLog.maxBodySize: must be a decimal number 0..1073741824, not \"-1\"")},
      {"resource: svc/a\nport: 1\nlocalPort: 1\nhttpLog: {logfile: x}",
       at_forward("9:17", "httpLog.logfile: unknown key; did you mean logFile?")},
      {"resource: svc/a\nport: 1\nlocalport: 1\nlocalPort: 1",
       at_forward("8:7", "localport: unknown key; did you mean localPort?")},
  };
  for (Case const& c : cases) {
    EXPECT_THAT(problems_of(forward_file(c.keys)), ElementsAre("f.yaml:" + c.problem)) << c.keys;
  }
}

TEST(ParseTest, ReportsAllProblemsAtOnceInOrderOfPlace) {
  EXPECT_THAT(problems_of("contexts:\n- name: ${NO}\n  namespaces:\n  - name: B\n    forwards:\n"
                          "    - {port: x y, resource: pod, localPort: 0, x: 1, x: 2}\n"
                          "healthCheck: {interval: 0}\n"),
              testing::SizeIs(8));
  Texts const found = problems_of("a: 1\nhealthCheck: {b: 1}\ncontexts: []\n");
  ASSERT_EQ(found.size(), 2U);
  EXPECT_EQ(found[0].substr(0, 11), "f.yaml:1:1:");
  EXPECT_EQ(found[1].substr(0, 12), "f.yaml:2:15:");
}

TEST(ParseTest, BoundsTheProblems) {
  std::string text = "contexts: []\n";
  for (int i = 0; i < 5'000; ++i) text += fmt::format("k{}: 1\n", i);
  Texts const found = problems_of(text);
  ASSERT_EQ(found.size(), Report::kMaxProblems + 1);
  EXPECT_EQ(found.back(), "f.yaml: and 4000 more");
}

TEST(ParseTest, MakesValuesFitForATerminal) {
  std::string const text = full_forward("balance: \"\\e[31m" + std::string(200, 'x') + "\"");
  EXPECT_THAT(problems_of(text), ElementsAre("f.yaml:7:16: " + std::string(kForward) +
                                             "balance: must be pin or round-robin, not "
                                             "\"\\x1b[31m" +
                                             std::string(75, 'x') + "...\""));
}

std::string two_forwards(std::string const& one, std::string const& other) {
  return "contexts:\n- name: c\n  namespaces:\n  - name: n\n    forwards:\n    - {resource: svc/a, "
         "port: 1, " +
         one + "}\n    - {resource: svc/b, port: 1, " + other + "}\n";
}

TEST(ParseTest, RejectsTheSameLocalPortTwice) {
  EXPECT_THAT(
      problems_of(two_forwards("localPort: 80, alias: api", "localPort: 80")),
      ElementsAre(
          "f.yaml:7:45: contexts[0].namespaces[0].forwards[1].localPort: 80 is already used by "
          "api:80 (f.yaml:6:45)"));
  EXPECT_THAT(problems_of(two_forwards("localPort: 80", "localPort: 80, disabled: true")),
              testing::SizeIs(1))
      << "it may be enabled";
  EXPECT_THAT(problems_of(two_forwards("localPort: 80", "localPort: 81")), IsEmpty());
  EXPECT_THAT(problems_of(two_forwards("localPort: auto", "localPort: auto")), IsEmpty());
}

TEST(ParseTest, KnowsWhichAddressesOverlap) {
  auto const overlap = [](std::string const& a, std::string const& b) {
    return !problems_of(
                two_forwards("localPort: 80, address: " + a, "localPort: 80, address: " + b))
                .empty();
  };
  struct Case {
    char const* a;
    char const* b;
    bool overlap;
  };
  Case const cases[] = {
      {"localhost", "localhost", true},
      {"localhost", "127.0.0.1", true},
      {"localhost", "'::1'", true},
      {"localhost", "127.0.0.2", false},
      {"127.0.0.1", "'::1'", false},
      {"0.0.0.0", "127.0.0.5", true},
      {"0.0.0.0", "localhost", true},
      {"0.0.0.0", "'::1'", false},
      {"0.0.0.0", "'::'", false},
      {"'::'", "localhost", true},
      {"'::'", "'fe80::1'", true},
      {"'::'", "127.0.0.1", false},
      {"0.0.0.0", "0.0.0.0", true},
      {"'::'", "'0::0'", true},
      {"[127.0.0.2, 127.0.0.3]", "127.0.0.3", true},
      {"[127.0.0.2, 127.0.0.3]", "[127.0.0.4, '::1']", false},
      {"'::ffff:127.0.0.1'", "localhost", true},
      {"127.0.0.1", "127.0.0.10", false},
  };
  for (Case const& c : cases) {
    EXPECT_EQ(overlap(c.a, c.b), c.overlap) << c.a << " " << c.b;
    EXPECT_EQ(overlap(c.b, c.a), c.overlap) << c.b << " " << c.a;
  }
}

TEST(ParseTest, RejectsTheSameAliasTwice) {
  EXPECT_THAT(
      problems_of(two_forwards("localPort: 80, alias: x", "localPort: 81, alias: x")),
      ElementsAre(
          "f.yaml:7:56: contexts[0].namespaces[0].forwards[1].alias: \"x\" is already used by "
          "x:80 (f.yaml:6:56)"));
}

TEST(ParseTest, RejectsTheSameIdTwiceOnce) {
  EXPECT_THAT(
      problems_of(two_forwards("localPort: 80, alias: x", "localPort: 80, alias: x")),
      ElementsAre(
          "f.yaml:7:7: contexts[0].namespaces[0].forwards[1]: \"x:80\" is already defined at "
          "f.yaml:6:7; give one of them another alias or localPort"));
  std::string const forward = "{resource: svc/a, port: 1, localPort: auto}";
  EXPECT_THAT(
      problems_of("contexts: [{name: c, namespaces: [{name: n, forwards: [" + forward + "," +
                  forward + "]}]}]"),
      ElementsAre(
          "f.yaml:1:100: contexts[0].namespaces[0].forwards[1]: \"c/n/svc/a:auto\" is already "
          "defined at f.yaml:1:56; give one of them another alias or localPort"));
}

TEST(ParseTest, ComparesForwardsThatHaveOtherProblems) {
  EXPECT_THAT(
      problems_of(two_forwards("localPort: 80, lazy: 2", "localPort: 80, alias: ' '")),
      ElementsAre(testing::HasSubstr("forwards[0].lazy: must be"),
                  testing::HasSubstr("forwards[1].localPort: 80 is already used by c/n/svc/a:80"),
                  testing::HasSubstr("forwards[1].alias: \" \" begins")));
}

TEST(ParseTest, PlacesWhatAMergeBroughtAtTheMerge) {
  EXPECT_THAT(
      problems_of("contexts:\n- name: c\n  namespaces:\n  - name: n\n    forwards:\n"
                  "    - &a {resource: svc/a, port: 1, localPort: 80}\n"
                  "    - <<: *a\n      alias: b\n"),
      ElementsAre(
          "f.yaml:7:11: contexts[0].namespaces[0].forwards[1].localPort: 80 is already used by "
          "c/n/svc/a:80 (f.yaml:6:48)"));
}

TEST(ParseTest, CopesWithManyForwards) {
  std::string text = "contexts: [{name: c, namespaces: [{name: n, forwards: [\n";
  for (int i = 0; i < 10'000; ++i) {
    text += fmt::format("{{resource: po/a{}, port: 1, localPort: 80, address: 127.1.{}.{}}},\n", i,
                        i / 250, i % 250 + 1);
  }
  text += "]}]}]\n";
  auto const start = std::chrono::steady_clock::now();
  EXPECT_EQ(config_of(text).forwards.size(), 10'000U);
  EXPECT_LT(std::chrono::steady_clock::now() - start, seconds(20));
}

TEST(ParseTest, WarnsAboutWhatDoesNothingYet) {
  EXPECT_THAT(warnings_of(settings(
                  "reliability: {maxTunnels: 8, authTimeout: 60s}\nmdns: {enabled: true}")),
              ElementsAre("f.yaml:2:17: mdns.enabled: true: not supported yet, ignored",
                          "f.yaml:3:11: contexts: is empty, so there is nothing to forward yet"));
  EXPECT_THAT(
      warnings_of(full_forward("lazy: true, httpLog: true")),
      ElementsAre(
          "f.yaml:7:13: " + std::string(kForward) + "lazy: true: not supported yet, ignored",
          "f.yaml:7:28: " + std::string(kForward) + "httpLog: true: not supported yet, ignored"));
  EXPECT_THAT(
      warnings_of(full_forward("tags: [web]")),
      ElementsAre("f.yaml:7:13: " + std::string(kForward) + "tags: not supported yet, ignored"));
  EXPECT_THAT(warnings_of(full_forward("httpLog: {enabled: true, logFile: x}")),
              ElementsAre("f.yaml:7:16: " + std::string(kForward) +
                          "httpLog: true: not supported yet, ignored"));
}

// A runtime tells of a reset one second after it; until then it looks like silence, which is good.
TEST(ParseTest, WarnsAboutATimeoutThatHidesResets) {
  std::string const why =
      "data-transfer cannot see that an application resets its connections: a container runtime "
      "tells of it 1s later; write 1.2s or more, or method: tcp-dial";
  auto const told = [&](std::string const& where, std::string const& key, std::string const& time) {
    return where + key + ": with a timeout of " + time + ", " + why;
  };
  std::string const own = std::string(kForward) + "healthCheck.";
  EXPECT_THAT(warnings_of(full_forward("healthCheck: {timeout: 1199ms}")),
              ElementsAre(told("f.yaml:7:30: ", own + "timeout", "1.199s")));
  EXPECT_THAT(warnings_of(full_forward("healthCheck: {timeout: 1.2s}")), IsEmpty());
  EXPECT_THAT(warnings_of(full_forward("healthCheck: {timeout: 1ms, method: tcp-dial}")),
              IsEmpty());
  EXPECT_THAT(warnings_of(full_forward("healthCheck: {timeout: 1ms, method: none}")), IsEmpty());
  // Once for all that inherit it, where it stands; not if none does.
  EXPECT_THAT(
      warnings_of("healthCheck: {timeout: 1s}\n" +
                  two_forwards("localPort: 1", "localPort: 2, healthCheck: {interval: 1s}")),
      ElementsAre(told("f.yaml:1:24: ", "healthCheck.timeout", "1s")));
  std::string const dials = "healthCheck: {timeout: 1s, method: tcp-dial}\n";
  EXPECT_THAT(warnings_of(dials + full_forward("tags: []")), IsEmpty());
  EXPECT_THAT(warnings_of(dials + full_forward("healthCheck: {method: data-transfer}")),
              ElementsAre(told("f.yaml:8:29: ", own + "method", "1s")));
  EXPECT_THAT(
      warnings_of("healthCheck: {timeout: 1s}\n" + full_forward("healthCheck: {method: tcp-dial}")),
      IsEmpty());
}

TEST(ParseTest, WarnsAboutOtherThanLoopbackAddresses) {
  EXPECT_THAT(
      warnings_of(full_forward("address: 0.0.0.0")),
      ElementsAre("f.yaml:7:16: " + std::string(kForward) +
                  "address: 0.0.0.0 is not a loopback address, so other machines can connect"));
}

TEST(ParseTest, IsSilentAboutWhatWorks) {
  EXPECT_THAT(
      warnings_of(full_forward("balance: pin, lazy: false, httpLog: false, halfClose: hold")),
      IsEmpty());
  EXPECT_THAT(warnings_of(full_forward("httpLog: {logFile: x}")), IsEmpty())
      << "off, as in kportal";
  EXPECT_THAT(
      warnings_of(
          "mdns: {enabled: false}\nreliability: {retryOnStale: false, hold: 1s, maxTunnels: 4}\n" +
          full_forward("")),
      IsEmpty());
}

Source source(std::string const& file, std::string const& text) {
  return {file, text, "/" + file};
}

std::string one_forward(std::string const& keys) {
  return "contexts: [{name: c, kubeconfig: k, namespaces: [{name: n, forwards: [{resource: svc/a, "
         "port: 1, " +
         keys + "}]}]}]\n";
}

TEST(ParseTest, MergesFiles) {
  ParseOutcome const outcome = parse(
      {source("a", "healthCheck: {interval: 5s}\n" + one_forward("localPort: 1")),
       source("b", "healthCheck: {timeout: 4s, interval: 5000ms}\n" + one_forward("localPort: 2")),
       source("c", "contexts: []")},
      environment());
  EXPECT_THAT(texts(outcome.problems), IsEmpty());
  EXPECT_THAT(texts(outcome.warnings), IsEmpty());
  ASSERT_TRUE(outcome.config);
  ASSERT_EQ(outcome.config->forwards.size(), 2U);
  for (ForwardSpec const& forward : outcome.config->forwards) {
    EXPECT_EQ(forward.health.interval, seconds(5));
    EXPECT_EQ(forward.health.timeout, seconds(4));
  }
  EXPECT_EQ(outcome.config->forwards[0].kubeconfig, "/a/k");
  EXPECT_EQ(outcome.config->forwards[1].kubeconfig, "/b/k");
}

TEST(ParseTest, NamesBothPlacesWhenFilesDisagree) {
  ParseOutcome const outcome =
      parse({source("a", "healthCheck: {interval: 5s}\nreliability: {retryOnStale: true}\n" +
                             one_forward("localPort: 1, alias: x")),
             source("b", "reliability: {retryOnStale: false}\nhealthCheck: {interval: 6s}\n" +
                             one_forward("localPort: 1, alias: x")),
             source("c", one_forward("localPort: 1"))},
            environment());
  EXPECT_FALSE(outcome.config);
  EXPECT_THAT(
      texts(outcome.problems),
      ElementsAre(
          "b:1:29: reliability.retryOnStale: is not what a:2:29 says; write it once",
          "b:2:25: healthCheck.interval: is not what a:1:25 says; write it once",
          "b:3:71: contexts[0].namespaces[0].forwards[0]: \"x:1\" is already defined at a:3:71; "
          "give one of them another alias or localPort",
          "c:1:109: contexts[0].namespaces[0].forwards[0].localPort: 1 is already used by x:1 "
          "(a:3:109)"));
}

TEST(ParseTest, ReadsTheExamples) {
  std::string const examples = KPORTAL_SOURCE_DIR "/examples/";
  for (char const* name : {"minimal.yaml", "forwards.yaml"}) {
    ParseOutcome const outcome = load({examples + name}, environment());
    EXPECT_THAT(texts(outcome.problems), IsEmpty());
    EXPECT_THAT(texts(outcome.warnings), IsEmpty());
    ASSERT_TRUE(outcome.config);
    EXPECT_EQ(outcome.config->forwards.size(), name[0] == 'm' ? 1U : 6U);
    EXPECT_EQ(outcome.config->reliability, Reliability()) << "the values shown are the defaults";
    EXPECT_EQ(outcome.config->forwards[0].health, HealthCheck());
  }
}

TEST(ParseTest, ReadsKportalsFilesUnchanged) {
  std::string const file = KPORTAL_SOURCE_DIR "/examples/kportal.yaml";
  ParseOutcome const outcome = load({file}, environment());
  EXPECT_THAT(texts(outcome.problems), IsEmpty());
  ASSERT_TRUE(outcome.config);
  std::vector<std::string> ids;
  for (ForwardSpec const& forward : outcome.config->forwards) ids.push_back(forward.id());
  EXPECT_THAT(
      ids,
      ElementsAre("prod-db:5432",
                  "arn:aws:eks:eu-west-1:123456789012:cluster/production/backend/pod/redis:6379",
                  "arn:aws:eks:eu-west-1:123456789012:cluster/production/frontend/pod:8080",
                  "admin:8443", "admin@staging/monitoring/service/prometheus:9091"));
  EXPECT_THAT(
      texts(outcome.warnings),
      ElementsAre(testing::EndsWith("mdns.enabled: true: not supported yet, ignored"),
                  testing::EndsWith("forwards[0].httpLog: true: not supported yet, ignored"),
                  testing::EndsWith("forwards[1].httpLog: true: not supported yet, ignored")));
}

constexpr std::string_view kGoodFile = R"yaml(# a comment
healthCheck: {interval: 3s, method: 'none'}
reliability:
  hold: ${HOLD:-10s}
contexts:
  - name: "\u0061"
    namespaces:
      - name: shop
        forwards:
          - &api
            resource: service/api
            port: 80
            localPort: 8080
            alias: api   # its name
            tags: [web, "${TAG:-x}"]
          - <<: *api
            localPort: auto
            alias: >-
              other
            address: [127.0.0.1, '::1']
          - {resource: pod, selector: "app=web,tier notin (a,b)", port: http, localPort: 1}
)yaml";

// A file cut off anywhere, or with a wrong character, has problems with places or is read, and
// nothing else happens.
TEST(ParseTest, SurvivesMutation) {
  EXPECT_EQ(config_of(kGoodFile).forwards.size(), 3U);
  std::size_t refused = 0;
  auto const check = [&](std::string const& text) {
    ParseOutcome const outcome = parse_text(text);
    EXPECT_EQ(outcome.config.has_value(), outcome.problems.empty());
    for (Problem const& problem : outcome.problems) {
      EXPECT_GT(problem.line, 0) << to_text(problem);
      EXPECT_GT(problem.column, 0) << to_text(problem);
    }
    if (!outcome.config) ++refused;
  };
  for (std::size_t at = 0; at < kGoodFile.size(); ++at) {
    check(std::string(kGoodFile.substr(0, at)));
    std::string changed(kGoodFile);
    changed[at] = "[]{}:-,'\"&*#!|>%@ \n\t"[at % 20];
    check(changed);
  }
  EXPECT_GT(refused, kGoodFile.size());
}

class LoadTest : public testing::Test {
 protected:
  Texts problems(std::vector<std::string> const& files,
                 std::optional<std::string> const& stdin_text = {}) {
    ParseOutcome const outcome = load(files, environment(), stdin_text);
    EXPECT_FALSE(outcome.config);
    return texts(outcome.problems);
  }
  TempDirectory dir_;
};

TEST_F(LoadTest, ReadsAFile) {
  write_file(dir_ / "a.yaml", one_forward("localPort: 1"));
  ParseOutcome const outcome = load({dir_ / "a.yaml"}, environment());
  ASSERT_TRUE(outcome.config);
  EXPECT_EQ(outcome.config->forwards.at(0).kubeconfig, dir_ / "k");
}

TEST_F(LoadTest, SaysWhyAFileCannotBeRead) {
  std::string const missing = dir_ / "missing.yaml";
  EXPECT_THAT(problems({missing}), ElementsAre(missing + ": no such file"));
  EXPECT_THAT(problems({dir_.path().string()}),
              ElementsAre(dir_.path().string() + ": is a directory, not a file"));
  std::string const under = (dir_ / "f") + "/x";
  write_file(dir_ / "f", "");
  EXPECT_THAT(problems({under}), ElementsAre(under + ": cannot be read: Not a directory"));
  EXPECT_THAT(problems({"/dev/null"}), ElementsAre(testing::HasSubstr("is not a regular file")));
  EXPECT_THAT(problems({""}), ElementsAre("-f: the name of the file is empty"));
}

TEST_F(LoadTest, ReportsAnUnreadableFile) {
  write_file(dir_ / "f", "contexts: []");
  ::chmod((dir_ / "f").c_str(), 0);
  uid_t const user = ::geteuid();
  constexpr uid_t kNobody = 65'534;  // root reads everything
  if (user == 0) {
    ASSERT_EQ(::seteuid(kNobody), 0);
  }
  Texts const found = problems({dir_ / "f"});
  if (user == 0) {
    ASSERT_EQ(::seteuid(user), 0);
  }
  EXPECT_THAT(found, ElementsAre((dir_ / "f") + ": cannot be read: Permission denied"));
}

TEST_F(LoadTest, DoesNotWaitForAFifo) {
  ASSERT_EQ(::mkfifo((dir_ / "fifo").c_str(), 0600), 0);
  EXPECT_THAT(
      problems({dir_ / "fifo"}),
      ElementsAre((dir_ / "fifo") +
                  ": is not a regular file; to read a pipe, use -f - and its standard input"));
}

TEST_F(LoadTest, BoundsTheSize) {
  std::string text = "contexts: []\n#";
  text += std::string(kMaxFileBytes - text.size(), 'x');
  write_file(dir_ / "f", text);
  EXPECT_TRUE(load({dir_ / "f"}, environment()).config);
  write_file(dir_ / "f", text + "x");
  EXPECT_THAT(problems({dir_ / "f"}), ElementsAre((dir_ / "f") + ": is larger than 1 MiB"));
  EXPECT_THAT(problems({"-"}, text + "x"), ElementsAre("<stdin>: is larger than 1 MiB"));
}

TEST_F(LoadTest, ReadsStandardInput) {
  EXPECT_TRUE(load({"-"}, environment(), "contexts: []").config);
  EXPECT_THAT(problems({"-"}, "contexts: x"),
              ElementsAre("<stdin>:1:11: contexts: must be a list, not a single value"));
  EXPECT_THAT(problems({"-"}), ElementsAre("<stdin>: there is no standard input to read"));
}

TEST_F(LoadTest, ReportsTheProblemsOfAllFiles) {
  write_file(dir_ / "a", "contexts: x");
  write_file(dir_ / "b", "contexts: [}");
  EXPECT_THAT(problems({dir_ / "a", dir_ / "missing", dir_ / "b", dir_ / "a"}),
              ElementsAre((dir_ / "a") + ":1:11: contexts: must be a list, not a single value",
                          (dir_ / "missing") + ": no such file",
                          testing::StartsWith((dir_ / "b") + ":1:12: not valid YAML: "),
                          (dir_ / "a") + ": is given twice"));
}

}  // namespace
}  // namespace kportal::config
