// SPDX-License-Identifier: MIT
#include "k8s/reflector.h"

#include <algorithm>

#include <gtest/gtest.h>

#include "k8s/credentials.h"
#include "k8s/object_cache.h"
#include "k8s/objects.h"
#include "tests/k8s/http_server.h"

namespace kportal::k8s {
namespace {

using namespace std::chrono_literals;

std::string pod(std::string const& name, std::string const& version) {
  return R"({"kind":"Pod","metadata":{"name":")" + name + R"(","namespace":"shop","uid":"u-)" +
         name + R"(","resourceVersion":")" + version + R"("},"status":{"phase":"Running"}})";
}

std::string list(std::string const& version, std::vector<std::string> const& items,
                 std::string const& token = "") {
  std::string text = R"({"kind":"PodList","metadata":{"resourceVersion":")" + version +
                     R"(","continue":")" + token + R"("},"items":[)";
  for (auto const& item : items) {
    if (text.back() != '[') text += ',';
    text += item;
  }
  return text + "]}";
}

std::string event(std::string const& type, std::string const& object) {
  return R"({"type":")" + type + R"(","object":)" + object + "}\n";
}

std::string bookmark(std::string const& version) {
  return event("BOOKMARK", R"({"kind":"Pod","metadata":{"resourceVersion":")" + version + "\"}}");
}

std::string const kExpired = event(
    "ERROR",
    R"({"kind":"Status","status":"Failure","message":"too old","reason":"Expired","code":410})");

bool is_watch(ServedRequest const& request) {
  return request.target.find("watch=1") != std::string::npos;
}

bool has(ServedRequest const& request, std::string const& text) {
  return request.target.find(text) != std::string::npos;
}

class ReflectorTest : public RestFixture {
 protected:
  ~ReflectorTest() override { cancel_tasks(); }

  void start_cache() {
    cache_.emplace(context_.get_executor(), client_, "shop", selector_, options_);
    subscription_ =
        cache_->subscribe([this](std::string_view name) { changes_.emplace_back(name); });
    tasks_.spawn(cache_->run());
  }
  std::string names() const {
    std::string text;
    for (auto const& [name, object] : cache_->objects()) text += name + " ";
    return text;
  }
  void wait_for_requests(std::size_t count) {
    run_until([&] { return server_.requests().size() >= count; });
  }
  ServedRequest const& seen(std::size_t at) const { return server_.requests().at(at); }

  ReflectorOptions options_;
  std::string selector_;
  RestClient client_{*curl_, resolver_, config()};
  std::optional<PodCache> cache_;
  std::vector<std::string> changes_;
  Subscription subscription_;
};

TEST_F(ReflectorTest, ListsAndFollowsAWatchWhereverItIsCut) {
  Feed& feed = make_feed();
  server_.script([&](ServedRequest const& r) {
    return is_watch(r) ? stream(feed) : reply(200, list("10", {pod("a", "9"), pod("b", "8")}));
  });
  std::string const text = event("ADDED", pod("c", "11")) + event("DELETED", pod("a", "12")) +
                           event("MODIFIED", pod("b", "13")) + bookmark("14");
  for (char const c : text) feed.event(std::string(1, c));
  start_cache();
  EXPECT_FALSE(cache_->synced());
  run_until([&] { return cache_->synced() && names() == "b c " && changes_.size() == 4; });
  EXPECT_EQ(changes_, (std::vector<std::string>{"", "c", "a", "b"}));
  EXPECT_EQ(cache_->find("b")->resource_version, "13");
  EXPECT_EQ(cache_->find("a"), nullptr);
  EXPECT_FALSE(cache_->error());
  EXPECT_EQ(seen(0).target, "/api/v1/namespaces/shop/pods?limit=100");
  EXPECT_TRUE(has(seen(1), "/api/v1/namespaces/shop/pods?watch=1&allowWatchBookmarks=true&"));
  EXPECT_TRUE(has(seen(1), "&resourceVersion=10"));
  EXPECT_TRUE(has(seen(1), "timeoutSeconds="));
}

awaitable<Result<SharedIdentity>> slow_login() {
  co_await sleep_until(Clock::now() + 1100ms);
  co_return std::make_shared<Identity const>();
}

TEST_F(ReflectorTest, ALoginsTimeIsNotTheLists) {
  auto c = config();
  c.authorize = [](std::uint64_t) { return slow_login(); };
  RestClient client(*curl_, resolver_, c);
  options_.list_deadline = 1s;
  Feed& feed = make_feed();
  server_.script([&](ServedRequest const& r) { return is_watch(r) ? hang() : stream(feed); });
  cache_.emplace(context_.get_executor(), client, "shop", selector_, options_);
  tasks_.spawn(cache_->run());
  wait_for_requests(1);
  // The head is read first.
  TimePoint const later = Clock::now() + 20ms;
  run_until([&] { return Clock::now() > later; });
  feed.event(list("10", {pod("a", "9")}));
  feed.finish();
  run_until([&] { return cache_->synced() || cache_->error(); });
  EXPECT_TRUE(cache_->synced());
  cancel_tasks();
}

TEST_F(ReflectorTest, AsksForPagesAndLabels) {
  selector_ = "app=web,tier!=db";
  options_.page_limit = 2;
  server_.script([](ServedRequest const& r) {
    if (is_watch(r)) return hang();
    if (has(r, "continue=t%2B1")) return reply(200, list("10", {pod("c", "3")}));
    return reply(200, list("10", {pod("a", "1"), pod("b", "2")}, "t+1"));
  });
  start_cache();
  wait_for_requests(3);
  EXPECT_EQ(names(), "a b c ");
  EXPECT_EQ(changes_.size(), 1U);
  std::string const first =
      "/api/v1/namespaces/shop/pods?limit=2&labelSelector=app%3Dweb%2Ctier%21%3Ddb";
  EXPECT_EQ(seen(0).target, first);
  EXPECT_EQ(seen(1).target, first + "&continue=t%2B1");
  EXPECT_TRUE(has(seen(2), "&labelSelector=app%3Dweb"));
}

TEST_F(ReflectorTest, AListWithoutEndIsToldOf) {
  server_.script([](ServedRequest const&) { return reply(200, list("1", {}, "more")); });
  start_cache();
  run_until([&] { return cache_->error() || server_.requests().size() > 2100; });
  ASSERT_TRUE(cache_->error());
  EXPECT_TRUE(cache_->error()->text.ends_with("the list does not end")) << cache_->error()->text;
}

TEST_F(ReflectorTest, AnExpiredContinueTokenRestartsTheList) {
  int tokens = 0;
  server_.script([&](ServedRequest const& r) {
    if (is_watch(r)) return hang();
    if (has(r, "continue=")) {
      if (++tokens == 1) return reply(410, "expired");
      return reply(200, list("10", {pod("c", "3")}));
    }
    return tokens == 0 ? reply(200, list("9", {pod("gone", "1")}, "t"))
                       : reply(200, list("10", {pod("a", "1")}, "t"));
  });
  start_cache();
  wait_for_requests(5);
  EXPECT_EQ(names(), "a c ");
  EXPECT_FALSE(cache_->error());
}

TEST_F(ReflectorTest, ResumesAfterTheEndOfAWatchFromTheLastBookmark) {
  Feed& first = make_feed();
  first.event(event("ADDED", pod("b", "11")) + bookmark("25"));
  first.finish();
  int watches = 0;
  server_.script([&](ServedRequest const& r) {
    if (!is_watch(r)) return reply(200, list("10", {pod("a", "9")}));
    return ++watches == 1 ? stream(first) : hang();
  });
  start_cache();
  wait_for_requests(3);
  EXPECT_TRUE(is_watch(seen(2)));
  EXPECT_TRUE(has(seen(2), "resourceVersion=25"));
  EXPECT_EQ(names(), "a b ");
  EXPECT_FALSE(cache_->error());
}

TEST_F(ReflectorTest, ResumesAfterACutConnection) {
  Feed& first = make_feed();
  first.event(event("ADDED", pod("b", "11")));
  first.event("{\"type\":\"ADD");
  first.cut();
  int watches = 0;
  server_.script([&](ServedRequest const& r) {
    if (!is_watch(r)) return reply(200, list("10", {pod("a", "9")}));
    return ++watches == 1 ? stream(first) : hang();
  });
  start_cache();
  wait_for_requests(3);
  EXPECT_TRUE(has(seen(2), "resourceVersion=11"));
  EXPECT_FALSE(cache_->error());
}

TEST_F(ReflectorTest, AnExpiredVersionInTheStreamLeadsToAList) {
  Feed& first = make_feed();
  first.event(kExpired);
  int lists = 0;
  server_.script([&](ServedRequest const& r) {
    if (!is_watch(r)) {
      return ++lists == 1 ? reply(200, list("10", {pod("a", "9")}))
                          : reply(200, list("20", {pod("b", "19")}));
    }
    return lists == 1 ? stream(first) : hang();
  });
  start_cache();
  wait_for_requests(4);
  EXPECT_EQ(names(), "b ");
  EXPECT_TRUE(has(seen(3), "resourceVersion=20"));
  EXPECT_FALSE(cache_->error());
}

TEST_F(ReflectorTest, AnExpiredVersionAsAnAnswerLeadsToAList) {
  int lists = 0;
  server_.script([&](ServedRequest const& r) {
    if (!is_watch(r)) return reply(200, list(std::to_string(++lists * 10), {}));
    return lists == 1 ? reply(410, "gone") : hang();
  });
  start_cache();
  wait_for_requests(4);
  EXPECT_TRUE(has(seen(3), "resourceVersion=20"));
  EXPECT_FALSE(cache_->error());
}

TEST_F(ReflectorTest, ErrorsAreToldOnceAndEnd) {
  options_.slow_retry = 1ms;
  int lists = 0;
  server_.script([&](ServedRequest const& r) {
    if (is_watch(r)) return hang();
    return ++lists < 4 ? reply(403, "no rights") : reply(200, list("1", {}));
  });
  start_cache();
  run_until([&] { return cache_->error().has_value(); });
  EXPECT_EQ(cache_->error()->code, Errc::forbidden);
  EXPECT_FALSE(cache_->synced());
  run_until([&] { return cache_->synced(); });
  EXPECT_EQ(changes_.size(), 2U);
  wait_for_requests(5);
  EXPECT_TRUE(cache_->error().has_value()) << "not before the watch is accepted";
}

TEST_F(ReflectorTest, AnAcceptedWatchEndsTheError) {
  Feed& feed = make_feed();
  int watches = 0;
  server_.script([&](ServedRequest const& r) {
    if (!is_watch(r)) return reply(200, list("1", {}));
    return ++watches == 1 ? reply(500, "broken") : stream(feed);
  });
  start_cache();
  run_until([&] { return cache_->error().has_value(); });
  EXPECT_EQ(cache_->error()->code, Errc::server);
  run_until([&] { return !cache_->error().has_value(); });
  EXPECT_TRUE(is_watch(seen(2))) << "no second list";
}

TEST_F(ReflectorTest, TooManyRequestsAreToldWithTheirWait) {
  server_.script(
      [](ServedRequest const&) { return reply(429, "slow down", "Retry-After: 9\r\n"); });
  start_cache();
  run_until([&] { return cache_->error().has_value(); });
  EXPECT_EQ(cache_->error()->retry_after, 9s);
  cache_->refresh();
  for (int i = 0; i < 20; ++i) turn();
  EXPECT_EQ(server_.requests().size(), 1U);
}

TEST_F(ReflectorTest, ASilentWatchIsAskedAnewOnAFreshConnection) {
  options_.silence = 20ms;
  Feed& first = make_feed();
  first.event(bookmark("15"));
  Feed& second = make_feed();
  int watches = 0;
  server_.script([&](ServedRequest const& r) {
    if (!is_watch(r)) return reply(200, list("10", {pod("a", "9")}));
    return stream(++watches == 1 ? first : second);
  });
  start_cache();
  wait_for_requests(2);
  // Another connection that could be used again, dead as the first.
  auto const other = run(client_.get_part("/other", kJsonEverything, soon()));
  ASSERT_TRUE(other.has_value());
  run_until([&] { return watches == 2; });
  std::vector<int> connections;
  for (auto const& request : server_.requests()) {
    if (has(request, "resourceVersion=15")) break;
    connections.push_back(request.connection);
  }
  auto const& again = seen(connections.size());
  EXPECT_TRUE(has(again, "resourceVersion=15"));
  EXPECT_EQ(std::count(connections.begin(), connections.end(), again.connection), 0);
  EXPECT_FALSE(cache_->error());
}

TEST_F(ReflectorTest, AServerThatHangsIsAnErrorAndTriedAgain) {
  options_.list_deadline = 20ms;
  int lists = 0;
  server_.script([&](ServedRequest const& r) {
    if (is_watch(r) || ++lists == 1) return hang();
    return reply(200, list("10", {pod("a", "9")}));
  });
  start_cache();
  run_until([&] { return cache_->error().has_value(); });
  EXPECT_EQ(cache_->error()->code, Errc::timeout);
  options_.list_deadline = 20s;
  run_until([&] { return cache_->synced(); });
}

TEST_F(ReflectorTest, PollsWhereWatchingIsForbidden) {
  options_.poll_interval = 1ms;
  int lists = 0;
  server_.script([&](ServedRequest const& r) {
    if (is_watch(r)) return reply(403, "cannot watch");
    ++lists;
    return reply(200, list("1", {pod("a" + std::to_string(lists), "1")}));
  });
  start_cache();
  run_until([&] { return lists >= 4; });
  EXPECT_FALSE(cache_->error());
  EXPECT_TRUE(is_watch(seen(1)));
  EXPECT_FALSE(is_watch(seen(2)));
  EXPECT_FALSE(is_watch(seen(3)));
}

TEST_F(ReflectorTest, GarbageInAWatchIsToldAndLeadsToAList) {
  Feed& first = make_feed();
  first.event("<html>nonsense</html>");
  Feed& second = make_feed();
  second.event(R"({"type":"ADDED","object":{"metadata":{}}})");
  int watches = 0;
  server_.script([&](ServedRequest const& r) {
    if (!is_watch(r)) return reply(200, list("10", {pod("a", "9")}));
    ++watches;
    if (watches == 1) return stream(first);
    return watches == 2 ? stream(second) : hang();
  });
  start_cache();
  run_until([&] { return cache_->error().has_value(); });
  run_until([&] { return watches == 3; });
  EXPECT_EQ(names(), "a ");
}

// A pod of `size` bytes, nearly all of which is of no use here.
std::string large_pod(std::string const& name, std::string const& version, std::size_t size) {
  std::string managed;
  while (managed.size() < size)
    managed += R"("f:env":{".":{},"k:{\"name\":\"A\"}":{"f:value":{}}},)";
  return R"({"metadata":{"managedFields":[{)" + managed + R"("x":1}],"name":")" + name +
         R"(","uid":"u","resourceVersion":")" + version + R"("},"status":{"phase":"Running"}})";
}

TEST_F(ReflectorTest, APodOfTenMebibytesIsOneAsAnyOther) {
  constexpr std::size_t kSize = 10 * 1024 * 1024;
  Feed& feed = make_feed();
  feed.event(event("MODIFIED", large_pod("a", "11", kSize)));
  feed.event(event("ADDED", pod("c", "12")));
  server_.script([&](ServedRequest const& r) {
    if (is_watch(r)) return stream(feed);
    return reply(200, list("10", {large_pod("a", "9", kSize), pod("b", "8")}));
  });
  start_cache();
  run_until([&] { return names() == "a b c "; });
  EXPECT_EQ(cache_->find("a")->resource_version, "11");
  EXPECT_EQ(cache_->find("a")->phase, PodPhase::running);
  EXPECT_FALSE(cache_->error());
}

TEST_F(ReflectorTest, APodBeyondAllMeasureIsToldByItsSize) {
  server_.script([&](ServedRequest const&) {
    return reply(200, list("10", {large_pod("a", "9", JsonSplitter::kMaxObject)}));
  });
  start_cache();
  run_until([&] { return cache_->error().has_value(); });
  EXPECT_EQ(cache_->error()->code, Errc::limit);
  EXPECT_NE(cache_->error()->text.find("a JSON object of more than 16 MiB"), std::string::npos);
}

TEST_F(ReflectorTest, ARefusedListNamesTheRuleToAdd) {
  server_.script([](ServedRequest const&) { return reply(403, "no rights"); });
  start_cache();
  run_until([&] { return cache_->error().has_value(); });
  EXPECT_TRUE(cache_->error()->text.ends_with(
      "(HTTP 403); a role that allows it, to be bound to this user: kubectl create role "
      "port-forward -n shop --verb=get,list,watch --resource=pods"))
      << cache_->error()->text;
}

TEST_F(ReflectorTest, AListThatMakesNoSenseIsAnError) {
  server_.script([](ServedRequest const&) { return reply(200, "<html>login here</html>"); });
  start_cache();
  run_until([&] { return cache_->error().has_value(); });
  EXPECT_FALSE(cache_->synced());
}

TEST_F(ReflectorTest, RefreshListsAgainInTheMiddleOfAWatch) {
  Feed& feed = make_feed();
  int lists = 0;
  server_.script([&](ServedRequest const& r) {
    if (is_watch(r)) return stream(feed);
    ++lists;
    return reply(200, list("1", {pod("a" + std::to_string(lists), "1")}));
  });
  start_cache();
  feed.event(bookmark("5"));
  wait_for_requests(2);
  for (int i = 0; i < 50; ++i) turn();
  cache_->refresh();
  run_until([&] { return names() == "a2 "; });
  EXPECT_FALSE(cache_->error());
}

TEST_F(ReflectorTest, RefreshWhileAWatchIsOpened) {
  Feed& feed = make_feed();
  int watches = 0, lists = 0;
  server_.script([&](ServedRequest const& r) {
    if (!is_watch(r)) return reply(200, list(std::to_string(++lists), {}));
    if (++watches == 1) cache_->refresh();
    return stream(feed);
  });
  start_cache();
  run_until([&] { return lists == 2 && watches == 2; });
  EXPECT_TRUE(has(server_.requests().back(), "resourceVersion=2"));
}

TEST_F(ReflectorTest, RefreshFromACallbackIsAllowed) {
  Feed& feed = make_feed();
  feed.event(event("ADDED", pod("b", "2")));
  int lists = 0;
  server_.script([&](ServedRequest const& r) {
    if (is_watch(r)) return lists == 1 ? stream(feed) : hang();
    return reply(200, list(std::to_string(++lists), {}));
  });
  start_cache();
  auto const refreshing = cache_->subscribe([this](std::string_view name) {
    if (name == "b") cache_->refresh();
  });
  run_until([&] { return lists == 2; });
}

TEST_F(ReflectorTest, CancelledAtEveryMoment) {
  for (int turns = 0; turns < 60; ++turns) {
    Feed& feed = make_feed();
    feed.event(event("ADDED", pod("b", "2")));
    server_.script([&](ServedRequest const& r) {
      return is_watch(r) ? stream(feed) : reply(200, list("1", {pod("a", "1")}));
    });
    start_cache();
    for (int i = 0; i < turns; ++i) turn();
    cancel_tasks();
    cache_.reset();
  }
}

TEST_F(ReflectorTest, ServicesWorkLikePods) {
  server_.script([&](ServedRequest const& r) {
    if (is_watch(r)) return hang();
    return reply(
        200, R"({"kind":"ServiceList","metadata":{"resourceVersion":"1"},"items":[)"
             R"({"metadata":{"name":"web","namespace":"shop"},"spec":{"ports":[{"port":80}]}}]})");
  });
  ServiceCache services(context_.get_executor(), client_, "shop", "", options_);
  tasks_.spawn(services.run());
  run_until([&] { return services.synced(); });
  EXPECT_EQ(services.find("web")->ports.at(0).port, 80);
  EXPECT_EQ(seen(0).target, "/api/v1/namespaces/shop/services?limit=100");
  cancel_tasks();
}

TEST(SubscriptionTest, EndsWithItsHandle) {
  Subscribers subscribers;
  std::vector<std::string> calls;
  auto first =
      subscribers.add([&](std::string_view name) { calls.push_back("1" + std::string(name)); });
  {
    auto const second =
        subscribers.add([&](std::string_view name) { calls.push_back("2" + std::string(name)); });
    subscribers.notify("a");
  }
  subscribers.notify("b");
  Subscription moved = std::move(first);
  subscribers.notify("c");
  moved = Subscription();
  subscribers.notify("d");
  EXPECT_EQ(calls, (std::vector<std::string>{"1a", "2a", "1b", "1c"}));
  EXPECT_TRUE(subscribers.empty());
}

TEST(SubscriptionTest, MayLeaveAndJoinDuringACall) {
  Subscribers subscribers;
  int calls = 0, joined = 0;
  Subscription self, other, added;
  self = subscribers.add([&](std::string_view) {
    ++calls;
    added = subscribers.add([&](std::string_view) { ++joined; });
    other = Subscription();
    self = Subscription();
  });
  other = subscribers.add([&](std::string_view) { ++calls; });
  subscribers.notify("x");
  EXPECT_EQ(calls, 1);
  EXPECT_EQ(joined, 0);
  subscribers.notify("x");
  EXPECT_EQ(joined, 1);
}

TEST(SubscriptionTest, MayOutliveItsSource) {
  Subscription subscription;
  {
    Subscribers subscribers;
    subscription = subscribers.add([](std::string_view) {});
  }
  subscription = Subscription();
}

}  // namespace
}  // namespace kportal::k8s
