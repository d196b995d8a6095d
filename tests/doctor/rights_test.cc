// SPDX-License-Identifier: MIT
#include "doctor/rights.h"

#include <gtest/gtest.h>

namespace kportal::doctor {
namespace {

using config::Target;
using config::TargetKind;

Target const kPod{TargetKind::pod, "web", ""};
Target const kSelected{TargetKind::pod, "", "app=web"};
Target const kService{TargetKind::service, "web", ""};
Target const kDeployment{TargetKind::deployment, "web", ""};

Hop judge(Target const& target, std::vector<Right> const& denied) {
  Hops hops(HopName::rights, HopName::rights);
  judge_rights(target, "shop", denied, {}, hops);
  return hops.all().front();
}

TEST(RightsTest, EachKindNeedsItsOwn) {
  EXPECT_EQ(rights_for(TargetKind::pod).size(), 5u);
  auto const service = rights_for(TargetKind::service);
  EXPECT_NE(std::find(service.begin(), service.end(), Right{"get", "", "services"}), service.end());
  EXPECT_EQ(rights_for(TargetKind::statefulset).back(), (Right{"get", "apps", "statefulsets"}));
  EXPECT_EQ(rights_for(TargetKind::job).back(), (Right{"get", "batch", "jobs"}));
}

TEST(RightsTest, AllGranted) {
  Hop const hop = judge(kPod, {});
  EXPECT_EQ(hop.verdict, Verdict::ok);
  EXPECT_EQ(hop.detail, "get, list, watch pods; create, get pods/portforward");
}

TEST(RightsTest, WithoutPortForwardNothingWorks) {
  Hop const hop =
      judge(kPod, {{"create", "", "pods/portforward"}, {"get", "", "pods/portforward"}});
  EXPECT_EQ(hop.verdict, Verdict::failed);
  EXPECT_EQ(hop.code, Errc::forbidden);
  EXPECT_TRUE(hop.message.starts_with("may not create, get pods/portforward in namespace shop; "));
  EXPECT_NE(hop.message.find("-n shop --verb=create,get --resource=pods/portforward"),
            std::string::npos);
}

TEST(RightsTest, WhatIsMissingMayBeAWarning) {
  EXPECT_EQ(judge(kPod, {{"list", "", "pods"}}).verdict, Verdict::warning);
  EXPECT_EQ(judge(kPod, {{"watch", "", "pods"}}).verdict, Verdict::warning);
  EXPECT_EQ(judge(kPod, {{"get", "", "pods/portforward"}}).verdict, Verdict::warning);
  Hop const hop = judge(kPod, {{"create", "", "pods/portforward"}});
  EXPECT_EQ(hop.verdict, Verdict::warning);
  EXPECT_NE(hop.message.find("1.35"), std::string::npos);
}

TEST(RightsTest, TargetsThatAreChosenNeedToBeSeen) {
  EXPECT_EQ(judge(kSelected, {{"list", "", "pods"}}).verdict, Verdict::failed);
  EXPECT_EQ(judge(kService, {{"list", "", "pods"}}).verdict, Verdict::failed);
  EXPECT_EQ(judge(kService, {{"list", "", "services"}, {"get", "", "services"}}).verdict,
            Verdict::failed);
  Hop const hop = judge(kDeployment, {{"get", "apps", "deployments"}});
  EXPECT_EQ(hop.verdict, Verdict::failed);
  EXPECT_NE(hop.message.find("--verb=get --resource=deployments.apps"), std::string::npos);
  EXPECT_EQ(judge(kService, {{"list", "", "services"}, {"watch", "", "services"}}).verdict,
            Verdict::warning);
}

}  // namespace
}  // namespace kportal::doctor
