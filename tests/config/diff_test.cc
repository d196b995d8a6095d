// SPDX-License-Identifier: MIT
#include "config/diff.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace kportal::config {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

ForwardSpec forward(std::string alias, std::uint16_t local_port) {
  ForwardSpec spec;
  spec.context = "c";
  spec.namespace_ = "n";
  spec.target = Target{TargetKind::service, "api", ""};
  spec.resource = "service/api";
  spec.port = "80";
  spec.local_port = local_port;
  spec.alias = std::move(alias);
  spec.addresses = {"localhost"};
  return spec;
}

Config config(std::vector<ForwardSpec> forwards) {
  Config out;
  out.forwards = std::move(forwards);
  return out;
}

TEST(ConfigTest, MakesIds) {
  ForwardSpec spec = forward("api", 8080);
  EXPECT_EQ(spec.id(), "api:8080");
  spec.local_port = 0;
  EXPECT_EQ(spec.id(), "api:auto");
  spec.alias = "";
  EXPECT_EQ(spec.id(), "c/n/service/api:auto");
  spec.context = "";
  spec.local_port = 1;
  EXPECT_EQ(spec.id(), "current/n/service/api:1");
}

TEST(ConfigTest, HasAWordForEveryEnumerator) {
  EXPECT_EQ(to_word(ProbeMethod::data_transfer), "data-transfer");
  EXPECT_EQ(to_word(ProbeMethod::tcp_dial), "tcp-dial");
  EXPECT_EQ(to_word(ProbeMethod::none), "none");
  EXPECT_EQ(to_word(Balance::pin), "pin");
  EXPECT_EQ(to_word(Balance::round_robin), "round-robin");
  EXPECT_EQ(to_word(HalfClose::pass), "pass");
  EXPECT_EQ(to_word(HalfClose::hold), "hold");
  EXPECT_EQ(to_word(TargetKind::replication_controller), "replicationcontroller");
}

TEST(DiffTest, FindsNothingBetweenEquals) {
  Config const same = config({forward("a", 1), forward("b", 0)});
  Diff const result = diff(same, same);
  EXPECT_TRUE(result.empty());
  EXPECT_THAT(result.unchanged, ElementsAre("a:1", "b:auto"));
  EXPECT_THAT(result.listeners, IsEmpty());
}

TEST(DiffTest, ListsAddedRemovedAndChanged) {
  ForwardSpec changed = forward("c", 3);
  changed.port = "81";
  Diff const result = diff(config({forward("a", 1), forward("b", 2), forward("c", 3)}),
                           config({forward("d", 4), changed, forward("a", 1)}));
  EXPECT_FALSE(result.empty());
  EXPECT_THAT(result.added, ElementsAre("d:4"));
  EXPECT_THAT(result.removed, ElementsAre("b:2"));
  EXPECT_THAT(result.changed, ElementsAre("c:3"));
  EXPECT_THAT(result.unchanged, ElementsAre("a:1"));
  EXPECT_THAT(result.listeners, ElementsAre(KeptListener{"c:3", "c:3"}));
}

// Every field but two makes a forward another one.
TEST(DiffTest, KnowsWhatAppliesLive) {
  ForwardSpec const base = forward("a", 1);
  ForwardSpec live = base;
  live.health.interval = milliseconds(1);
  live.tags = {"x"};
  EXPECT_TRUE(same_forwarding(base, live));
  Diff const result = diff(config({base}), config({live}));
  EXPECT_THAT(result.unchanged, ElementsAre("a:1"));
  EXPECT_THAT(result.retuned, ElementsAre("a:1"));
  EXPECT_FALSE(result.empty());

  using Change = void (*)(ForwardSpec&);
  for (Change const change : std::initializer_list<Change>{
           [](ForwardSpec& f) { f.kubeconfig = "/x"; }, [](ForwardSpec& f) { f.context = "x"; },
           [](ForwardSpec& f) { f.namespace_ = "x"; }, [](ForwardSpec& f) { f.target.name = "x"; },
           [](ForwardSpec& f) { f.target.selector = "x"; },
           [](ForwardSpec& f) { f.resource = "svc/api"; }, [](ForwardSpec& f) { f.port = "81"; },
           [](ForwardSpec& f) { f.local_port = 2; }, [](ForwardSpec& f) { f.alias = "x"; },
           [](ForwardSpec& f) { f.addresses = {"127.0.0.1"}; },
           [](ForwardSpec& f) { f.balance = Balance::round_robin; },
           [](ForwardSpec& f) { f.allow_unready = true; }, [](ForwardSpec& f) { f.lazy = true; },
           [](ForwardSpec& f) { f.disabled = true; },
           [](ForwardSpec& f) { f.half_close = HalfClose::hold; }}) {
    ForwardSpec other = base;
    change(other);
    EXPECT_FALSE(same_forwarding(base, other));
  }
}

TEST(DiffTest, SeesChangedReliability) {
  Config before = config({forward("a", 1)});
  Config after = before;
  after.reliability.hold = milliseconds(1);
  Diff const result = diff(before, after);
  EXPECT_TRUE(result.reliability_changed);
  EXPECT_FALSE(result.empty());
  EXPECT_THAT(result.unchanged, ElementsAre("a:1"));
}

TEST(DiffTest, FollowsAListenerToItsNewForward) {
  Diff const swapped =
      diff(config({forward("a", 1), forward("b", 2)}), config({forward("a", 2), forward("b", 1)}));
  EXPECT_THAT(swapped.added, ElementsAre("a:2", "b:1"));
  EXPECT_THAT(swapped.removed, ElementsAre("a:1", "b:2"));
  EXPECT_THAT(swapped.listeners,
              ElementsAre(KeptListener{"b:2", "a:2"}, KeptListener{"a:1", "b:1"}));
  Diff const renamed = diff(config({forward("a", 1)}), config({forward("z", 1)}));
  EXPECT_THAT(renamed.listeners, ElementsAre(KeptListener{"a:1", "z:1"}));
}

TEST(DiffTest, KeepsAListenerOnlyOnTheSameAddresses) {
  ForwardSpec before = forward("a", 1);
  before.addresses = {"127.0.0.1", "127.0.0.2"};
  ForwardSpec after = before;
  after.port = "81";
  after.addresses = {"127.0.0.2", "127.0.0.1"};
  EXPECT_TRUE(same_listener(before, after));
  EXPECT_THAT(diff(config({before}), config({after})).listeners,
              ElementsAre(KeptListener{"a:1", "a:1"}));
  after.addresses = {"127.0.0.1"};
  EXPECT_FALSE(same_listener(before, after));
  EXPECT_THAT(diff(config({before}), config({after})).listeners, IsEmpty());
}

TEST(DiffTest, KeepsAnAutoListenerOnlyForItsOwnId) {
  ForwardSpec changed = forward("a", 0);
  changed.port = "81";
  EXPECT_THAT(diff(config({forward("a", 0)}), config({changed})).listeners,
              ElementsAre(KeptListener{"a:auto", "a:auto"}));
  EXPECT_THAT(diff(config({forward("a", 0)}), config({forward("b", 0)})).listeners, IsEmpty());
}

}  // namespace
}  // namespace kportal::config
