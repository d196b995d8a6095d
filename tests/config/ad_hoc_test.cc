// SPDX-License-Identifier: MIT
#include "config/ad_hoc.h"

#include "tests/config/support.h"

namespace kportal::config {
namespace {

AdHoc words(std::string target, std::vector<std::string> ports) {
  AdHoc out;
  out.target = std::move(target);
  out.ports = std::move(ports);
  out.namespace_ = "shop";
  out.context = "lab";
  return out;
}

// The ids, then the remote ports.
Texts ids(AdHoc const& ad_hoc) {
  auto const outcome = parse_ad_hoc(ad_hoc);
  EXPECT_EQ(texts(outcome.problems), Texts{});
  Texts out;
  if (!outcome.config) return out;
  for (ForwardSpec const& spec : outcome.config->forwards) {
    out.push_back(spec.id() + " > " + spec.port);
  }
  return out;
}

Texts problems(std::string target, std::vector<std::string> ports) {
  auto const outcome = parse_ad_hoc(words(std::move(target), std::move(ports)));
  EXPECT_FALSE(outcome.config);
  return texts(outcome.problems);
}

TEST(AdHocTest, PortFormsAsKubectlTakesThem) {
  EXPECT_EQ(ids(words("svc/db", {"5432"})), Texts{"lab/shop/svc/db:5432 > 5432"});
  EXPECT_EQ(ids(words("svc/db", {"8080:80"})), Texts{"lab/shop/svc/db:8080 > 80"});
  EXPECT_EQ(ids(words("svc/db", {":80"})), Texts{"lab/shop/svc/db:auto > 80"});
  EXPECT_EQ(ids(words("svc/db", {"8080:http"})), Texts{"lab/shop/svc/db:8080 > http"});
  EXPECT_EQ(ids(words("svc/db", {":http"})), Texts{"lab/shop/svc/db:auto > http"});
  EXPECT_EQ(ids(words("svc/db", {"http"})), Texts{"lab/shop/svc/db:auto > http"});
  EXPECT_EQ(ids(words("web", {"80", "8443:443"})),
            (Texts{"lab/shop/pod/web:80 > 80", "lab/shop/pod/web:8443 > 443"}));
}

TEST(AdHocTest, SeveralFreePortsAreToldApart) {
  EXPECT_EQ(ids(words("svc/db", {":80", "http", "81"})),
            (Texts{"svc/db/80:auto > 80", "svc/db/http:auto > http", "lab/shop/svc/db:81 > 81"}));
}

TEST(AdHocTest, KindsAreThoseOfAFile) {
  auto const kind = [](std::string const& target) {
    auto const outcome = parse_ad_hoc(words(target, {"80"}));
    return outcome.config ? outcome.config->forwards.at(0).target : Target();
  };
  EXPECT_EQ(kind("x"), (Target{TargetKind::pod, "x", ""}));
  EXPECT_EQ(kind("po/x"), (Target{TargetKind::pod, "x", ""}));
  EXPECT_EQ(kind("deploy/x"), (Target{TargetKind::deployment, "x", ""}));
  EXPECT_EQ(kind("sts/x"), (Target{TargetKind::statefulset, "x", ""}));
  EXPECT_EQ(kind("job/x"), (Target{TargetKind::job, "x", ""}));
}

TEST(AdHocTest, AddressesMayBeLists) {
  AdHoc ad_hoc = words("svc/db", {"80"});
  EXPECT_EQ(parse_ad_hoc(ad_hoc).config->forwards.at(0).addresses, Texts{"localhost"});
  ad_hoc.addresses = {"127.0.0.1,::1", "10.0.0.1"};
  auto const outcome = parse_ad_hoc(ad_hoc);
  EXPECT_EQ(outcome.config->forwards.at(0).addresses, (Texts{"127.0.0.1", "::1", "10.0.0.1"}));
  EXPECT_EQ(texts(outcome.warnings),
            Texts{"--address: 10.0.0.1 is not a loopback address, so other machines can connect"});
}

TEST(AdHocTest, EverythingWrongIsSaidAtOnceWithItsPlace) {
  AdHoc ad_hoc = words("pots/db", {"0", "70000", "80:", "1:2:3", ":", "0:80", "80"});
  ad_hoc.namespace_ = "Shop";
  ad_hoc.addresses = {"::1,", "loopback"};
  auto const outcome = parse_ad_hoc(ad_hoc);
  EXPECT_FALSE(outcome.config);
  Texts starts;
  for (std::string const& text : texts(outcome.problems)) {
    starts.push_back(text.substr(0, text.find(':')));
  }
  EXPECT_EQ(starts, (Texts{"--namespace", "argument 1", "--address", "--address", "argument 2",
                           "argument 3", "argument 4", "argument 5", "argument 6", "argument 7"}));
}

TEST(AdHocTest, WrongPorts) {
  EXPECT_EQ(problems("svc/db", {"0"}),
            Texts{"argument 2: the port must be a decimal number 1..65535 or the name of a port, "
                  "not \"0\""});
  EXPECT_EQ(problems("svc/db", {"0:80"}),
            Texts{"argument 2: the local port must be a number 1..65535 or auto, not \"0\"; :80 "
                  "takes a free one"});
  EXPECT_EQ(problems("svc/db", {"80:65536"}).size(), 1u);
  EXPECT_EQ(problems("svc/db", {"80:"}),
            Texts{"argument 2: the remote port after \"80:\" is missing; a port is written PORT, "
                  "LOCAL:REMOTE or :REMOTE (a free local port)"});
  EXPECT_EQ(problems("svc/db", {}),
            Texts{"argument 1: a port is missing; a port is written PORT, LOCAL:REMOTE or :REMOTE "
                  "(a free local port)"});
  EXPECT_EQ(problems("svc/db", {"80/udp"}).size(), 1u);
  EXPECT_EQ(problems("svc/db", {""}).size(), 1u);
}

TEST(AdHocTest, TheSamePortTwice) {
  EXPECT_EQ(problems("svc/db", {"80", "80:81"}),
            Texts{"argument 3: local port 80 is already used by argument 2; :81 takes a free one"});
  EXPECT_EQ(problems("svc/db", {":80", ":80"}),
            Texts{"argument 3: \":80\" is what argument 2 asks for already"});
}

TEST(AdHocTest, ShapesOfWords) {
  for (char const* const word : {"80", "0", "99999", ":80", ":http", "80:", "8080:http", "1:2:3"}) {
    EXPECT_TRUE(looks_like_port(word)) << word;
  }
  for (char const* const word :
       {"", "http", "api:80", "svc/db", "80x", "80/udp", "lab/shop/x:80"}) {
    EXPECT_FALSE(looks_like_port(word)) << word;
  }
  EXPECT_TRUE(looks_like_target("svc/db"));
  for (char const* const word : {"db", "foo/db", "svc/", "svc/db:80"}) {
    EXPECT_FALSE(looks_like_target(word)) << word;
  }
}

}  // namespace
}  // namespace kportal::config
