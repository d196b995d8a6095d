// SPDX-License-Identifier: MIT
#include "k8s/rest_client.h"

#include <gtest/gtest.h>

#include "k8s/credentials.h"
#include "tests/k8s/http_server.h"

namespace kportal::k8s {
namespace {

using namespace std::chrono_literals;

std::string const kForbiddenPods =
    R"({"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure",)"
    R"("message":"pods is forbidden: User \"u\" cannot list resource \"pods\"",)"
    R"("reason":"Forbidden","details":{"kind":"pods"},"code":403})";

TEST(StatusErrorTest, EachCodeHasItsKind) {
  EXPECT_EQ(status_error(401, "", "").code, Errc::unauthorized);
  EXPECT_EQ(status_error(403, "", "").code, Errc::forbidden);
  EXPECT_EQ(status_error(404, "", "").code, Errc::not_found);
  EXPECT_EQ(status_error(410, "", "").code, Errc::gone);
  for (int const status : {301, 400, 409, 422, 429, 500, 503, 504}) {
    EXPECT_EQ(status_error(status, "", "").code, Errc::server) << status;
  }
}

TEST(StatusErrorTest, TakesTheMessageOfAStatus) {
  EXPECT_EQ(status_error(403, "", kForbiddenPods).text,
            "pods is forbidden: User \"u\" cannot list resource \"pods\" (HTTP 403)");
}

TEST(StatusErrorTest, TakesTheFirstOfAText) {
  EXPECT_EQ(status_error(500, "", "went\x1b[31m wrong\n").text, "went\\x1b[31m wrong (HTTP 500)");
  EXPECT_EQ(status_error(500, "", "").text, "the server gave no reason (HTTP 500)");
  EXPECT_LT(status_error(500, "", std::string(100'000, 'x')).text.size(), 1100U);
}

TEST(StatusErrorTest, OfAWebPageTheTitleSaysEnough) {
  EXPECT_EQ(status_error(502, "", "\n<html><head><title>502 Bad Gateway</title></head>...").text,
            "the web page \"502 Bad Gateway\" instead of an API server's answer (HTTP 502)");
  EXPECT_EQ(status_error(502, "", "<html>busy").text,
            "a web page instead of an API server's answer (HTTP 502)");
  EXPECT_LT(status_error(502, "", "<title>" + std::string(5000, 'x')).text.size(), 200U);
}

TEST(StatusErrorTest, ReadsRetryAfterAndBoundsIt) {
  EXPECT_EQ(status_error(429, "5", "").retry_after, 5s);
  EXPECT_EQ(status_error(503, "1", "").retry_after, 1s);
  EXPECT_EQ(status_error(503, "3600", "").retry_after, 60s);
  EXPECT_EQ(status_error(503, "Wed, 21 Oct 2099 07:28:00 GMT", "").retry_after, 60s);
  EXPECT_EQ(status_error(404, "5", "").retry_after, 0s);
}

TEST(AskedWaitTest, InSecondsOrAsADate) {
  auto const now = std::chrono::sys_days(std::chrono::year(2026) / 11 / 23) + 14h + 5min + 1s;
  EXPECT_EQ(asked_wait("0", now), 0s);
  EXPECT_EQ(asked_wait("99999999999999999999", now), 60s);
  EXPECT_EQ(asked_wait("Mon, 23 Nov 2026 14:05:08 GMT", now), 7s);
  EXPECT_EQ(asked_wait("Mon, 23 Nov 2026 14:05:00 GMT", now), 0s);
  EXPECT_EQ(asked_wait("Tue, 24 Nov 2026 14:05:00 GMT", now), 60s);
  for (auto const* text :
       {"", "-1", "1.5", "5 ", "Mon, 23 Nov 2026 14:05:08 UTC", "Mon, 23 nov 2026 14:05:08 GMT",
        "Mon, 31 Feb 2026 14:05:08 GMT", "Mon, 23 Nov 2026 24:05:08 GMT",
        "Mon, 23 ovD 2026 14:05:08 GMT", "Monday, 23-Nov-26 14:05:08 GMT"}) {
    EXPECT_EQ(asked_wait(text, now), 0s) << text;
  }
}

TEST(PercentEncodeTest, LeavesOnlyUnreservedCharacters) {
  EXPECT_EQ(percent_encode("aZ09-._~"), "aZ09-._~");
  EXPECT_EQ(percent_encode("a=b,c in (d)/\xff"), "a%3Db%2Cc%20in%20%28d%29%2F%FF");
}

class RestClientTest : public RestFixture {
 protected:
  RestClient client(RestConfig config) { return {*curl_, resolver_, std::move(config)}; }
  RestClient client() { return client(config()); }
};

awaitable<Result<SharedIdentity>> token(std::string text) {
  Identity identity;
  identity.headers.emplace_back("Authorization", "Bearer " + text);
  co_return std::make_shared<Identity const>(std::move(identity));
}
awaitable<Result<SharedIdentity>> slow_token(Duration time) {
  co_await sleep_until(Clock::now() + time);
  co_return co_await token("t");
}
awaitable<Result<SharedIdentity>> no_token(Errc why = Errc::unauthorized) {
  co_return Error(why, "login failed");
}

TEST_F(RestClientTest, GetsABodyAsTheConfiguredUser) {
  server_.script([](ServedRequest const&) { return reply(200, "{\"kind\":\"Pod\"}"); });
  auto c = config();
  c.path_prefix = "/prefix";
  c.user_agent = "kportal-cpp/1";
  c.authorize = [](std::uint64_t) { return token("t"); };
  auto rest = client(c);
  auto const body = run(rest.get_part("/api/v1/pods?limit=1", kJsonEverything, soon()));
  ASSERT_TRUE(body.has_value()) << body.error().text;
  EXPECT_EQ(*body, "{\"kind\":\"Pod\"}");
  auto const& seen = server_.requests().at(0);
  EXPECT_EQ(seen.target, "/prefix/api/v1/pods?limit=1");
  EXPECT_EQ(seen.headers.at("authorization"), "Bearer t");
  EXPECT_EQ(seen.headers.at("user-agent"), "kportal-cpp/1");
  EXPECT_EQ(seen.headers.at("accept"), "application/json");
}

TEST_F(RestClientTest, PostsJson) {
  server_.script([](ServedRequest const&) { return reply(201, "{}"); });
  auto rest = client();
  ASSERT_TRUE(run(rest.post("/apis/x", "{\"a\":1}", soon())).has_value());
  auto const& seen = server_.requests().at(0);
  EXPECT_EQ(seen.method, "POST");
  EXPECT_EQ(seen.body, "{\"a\":1}");
  EXPECT_EQ(seen.headers.at("content-type"), "application/json");
}

TEST_F(RestClientTest, ARefusalNamesTheServerAndItsReason) {
  server_.script([](ServedRequest const&) { return reply(403, kForbiddenPods); });
  auto rest = client();
  auto const body = run(rest.get_part("/", kJsonEverything, soon()));
  ASSERT_TRUE(body.has_error());
  EXPECT_EQ(body.error().code, Errc::forbidden);
  EXPECT_TRUE(body.error().text.starts_with(rest.server() + ": pods is forbidden"))
      << body.error().text;
}

// A proxy's, which ends neither the body nor the connection.
TEST_F(RestClientTest, ARefusalIsOneAlsoWhereItsBodyDoesNotEnd) {
  Feed& feed = make_feed();
  server_.script([&](ServedRequest const&) {
    Answer answer = stream(feed);
    answer.pieces.front().replace(9, 3, "403");
    return answer;
  });
  feed.event("pods is forbidden");
  auto rest = client();
  TimePoint const begin = Clock::now();
  auto const body = run(rest.get_part("/", kJsonEverything, Clock::now() + 1h));
  ASSERT_TRUE(body.has_error());
  EXPECT_EQ(body.error().code, Errc::forbidden);
  EXPECT_GE(Clock::now() - begin, kRefusalTime);
}

TEST_F(RestClientTest, TooManyRequestsCarryTheirWait) {
  server_.script(
      [](ServedRequest const&) { return reply(429, "Too many requests\n", "Retry-After: 7\r\n"); });
  auto rest = client();
  auto const body = run(rest.get_part("/", kJsonEverything, soon()));
  ASSERT_TRUE(body.has_error());
  EXPECT_EQ(body.error().code, Errc::server);
  EXPECT_EQ(body.error().retry_after, 7s);
}

TEST_F(RestClientTest, A401IsTriedOnceWithFreshCredentials) {
  server_.script([](ServedRequest const& r) {
    return r.headers.at("authorization") == "Bearer new" ? reply(200, "{}") : reply(401, "");
  });
  auto c = config();
  c.authorize = [](std::uint64_t refused) { return token(refused == 1 ? "new" : "old"); };
  auto rest = client(c);
  auto const body = run(rest.get_part("/", kJsonEverything, soon()));
  ASSERT_TRUE(body.has_value()) << body.error().text;
  EXPECT_EQ(server_.requests().size(), 2U);
}

TEST_F(RestClientTest, ASecond401IsFinal) {
  server_.script([](ServedRequest const&) { return reply(401, ""); });
  auto c = config();
  c.authorize = [](std::uint64_t) { return token("old"); };
  auto rest = client(c);
  auto const body = run(rest.get_part("/", kJsonEverything, soon()));
  ASSERT_TRUE(body.has_error());
  EXPECT_EQ(body.error().code, Errc::unauthorized);
  EXPECT_EQ(server_.requests().size(), 2U);
}

TEST_F(RestClientTest, WithoutOtherCredentialsTheServersOwnAnswerIsTold) {
  server_.script([](ServedRequest const&) { return reply(401, "token expired"); });
  auto c = config();
  c.authorize = [](std::uint64_t refused) { return refused != 0 ? no_token() : token("old"); };
  auto rest = client(c);
  auto const body = run(rest.get_part("/", kJsonEverything, soon()));
  ASSERT_TRUE(body.has_error());
  EXPECT_EQ(body.error().code, Errc::unauthorized);
  EXPECT_NE(body.error().text.find("token expired"), std::string::npos) << body.error().text;
  EXPECT_EQ(server_.requests().size(), 1U);
}

TEST_F(RestClientTest, APluginThatFailsAfterA401SaysWhy) {
  server_.script([](ServedRequest const&) { return reply(401, "token expired"); });
  auto c = config();
  c.authorize = [](std::uint64_t refused) {
    return refused != 0 ? no_token(Errc::auth_plugin) : token("old");
  };
  auto rest = client(c);
  auto const body = run(rest.get_part("/", kJsonEverything, soon()));
  EXPECT_EQ(body.error(), Error(Errc::auth_plugin, "login failed"));
}

TEST_F(RestClientTest, ALoginsTimeDoesNotCountTowardsTheDeadline) {
  server_.script([](ServedRequest const&) { return reply(200, "{}"); });
  auto c = config();
  c.authorize = [](std::uint64_t) { return slow_token(200ms); };
  auto rest = client(c);
  auto const body = run(rest.get_part("/", kJsonEverything, Clock::now() + 150ms));
  EXPECT_TRUE(body.has_value()) << body.error().text;
}

// Not either where the answer is read as a stream.
TEST_F(RestClientTest, ALoginsTimeDoesNotCountTowardsTheReadingOfAPart) {
  Feed& feed = make_feed();
  server_.script([&](ServedRequest const&) { return stream(feed); });
  auto c = config();
  c.authorize = [](std::uint64_t) { return slow_token(1100ms); };
  auto rest = client(c);
  std::optional<Result<std::string>> part;
  start(rest.get_part("/", kJsonEverything, Clock::now() + 1s), part);
  run_until([&] { return !server_.requests().empty(); });
  // The head is read first.
  TimePoint const later = Clock::now() + 20ms;
  run_until([&] { return Clock::now() > later; });
  feed.event("{}");
  feed.finish();
  run_until([&] { return part.has_value(); });
  EXPECT_TRUE(part->has_value()) << part->error().text;
}

TEST_F(RestClientTest, AFailedLoginAsksNothing) {
  auto c = config();
  c.authorize = [](std::uint64_t) { return no_token(); };
  auto rest = client(c);
  auto const body = run(rest.get_part("/", kJsonEverything, soon()));
  ASSERT_TRUE(body.has_error());
  EXPECT_EQ(body.error().text, "login failed");
  EXPECT_TRUE(server_.requests().empty());
}

TEST_F(RestClientTest, ResolvesTheNameOfTheServer) {
  server_.script([](ServedRequest const&) { return reply(200, "{}"); });
  auto c = config();
  c.host = "api.test";
  auto rest = client(c);
  ASSERT_TRUE(run(rest.get_part("/", kJsonEverything, soon())).has_value());
  EXPECT_TRUE(server_.requests().at(0).headers.at("host").starts_with("api.test:"));
}

TEST_F(RestClientTest, ANameThatDoesNotResolveIsANetworkError) {
  auto c = config();
  c.host = "nowhere.test";
  auto rest = client(c);
  auto const body = run(rest.get_part("/", kJsonEverything, soon()));
  ASSERT_TRUE(body.has_error());
  EXPECT_EQ(body.error().code, Errc::network);
  EXPECT_TRUE(body.error().text.starts_with("http://nowhere.test:")) << body.error().text;
}

TEST_F(RestClientTest, ATimeoutNamesTheServerAndDistrustsAllConnections) {
  Feed& feed = make_feed();
  server_.script([&](ServedRequest const& r) {
    if (r.target == "/first") return stream(feed);
    return r.target == "/hang" ? hang() : reply(200, "{}");
  });
  auto rest = client();
  std::optional<Result<std::string>> first;
  start(rest.get_part("/first", kJsonEverything, soon()), first);
  run_until([this] { return server_.requests().size() == 1; });
  ASSERT_TRUE(run(rest.get_part("/second", kJsonEverything, soon())).has_value());
  feed.finish();
  run_until([&] { return first.has_value(); });
  // Two connections wait for use.
  auto const late = run(rest.get_part("/hang", kJsonEverything, Clock::now() + 30ms));
  ASSERT_TRUE(late.has_error());
  ASSERT_TRUE(run(rest.get_part("/", kJsonEverything, soon())).has_value());
  EXPECT_EQ(server_.requests().back().connection, 3);
  EXPECT_EQ(late.error().code, Errc::timeout);
  EXPECT_TRUE(late.error().text.starts_with(rest.server())) << late.error().text;
}

TEST_F(RestClientTest, TellsOfAnswersWhateverTheySay) {
  server_.script([](ServedRequest const&) { return reply(503, "no"); });
  auto c = config();
  int answered = 0;
  int unanswered = 0;
  c.answered = [&] { ++answered; };
  c.unanswered = [&](TimePoint) { ++unanswered; };
  auto rest = client(c);
  EXPECT_TRUE(run(rest.get_part("/", kJsonEverything, soon())).has_error());
  EXPECT_EQ(answered, 1);
  EXPECT_EQ(unanswered, 0);
}

TEST_F(RestClientTest, TellsOfARequestThatHearsNothingBeforeItEnds) {
  server_.script([](ServedRequest const&) { return hang(); });
  auto c = config();
  std::vector<TimePoint> asked;
  c.unanswered = [&](TimePoint when) { asked.push_back(when); };
  auto rest = client(c);
  TimePoint const begin = Clock::now();
  std::optional<Result<std::string>> end;
  start(rest.get_part("/", kJsonEverything, Clock::now() + RestClient::kSilence + 500ms), end);
  run_until([&] { return !asked.empty(); });
  EXPECT_GE(Clock::now() - begin, RestClient::kSilence);
  run_until([&] { return end.has_value(); });
  EXPECT_EQ(end->error().code, Errc::timeout);
  ASSERT_EQ(asked.size(), 2U);  // and that it ended so
  EXPECT_EQ(asked[0], asked[1]);
  EXPECT_GE(asked[0], begin);
}

class JsonStreamTest : public RestClientTest {
 protected:
  using Opened = Result<std::unique_ptr<JsonStream>>;
  Opened open(std::uint64_t max_bytes = RestClient::kNoBound) {
    return run(client_.stream("/w?watch=1", JsonSplitter(kJsonEverything), max_bytes, soon()));
  }
  RestClient client_ = client();
};

TEST_F(JsonStreamTest, GivesOneEventATimeHoweverTheyAreCut) {
  std::string const events = "{\"type\":\"ADDED\"}\n{\"type\":\"}\\\"\"}{\"n\":{}}\n";
  for (std::size_t cut = 1; cut < events.size(); ++cut) {
    Feed& feed = make_feed();
    feed.event(events.substr(0, cut));
    feed.event(events.substr(cut));
    feed.finish();
    server_.script([&](ServedRequest const&) { return stream(feed); });
    auto const watch = open();
    ASSERT_TRUE(watch.has_value()) << watch.error().text;
    std::vector<std::string> found;
    for (;;) {
      auto event = run((*watch)->next(soon()));
      ASSERT_TRUE(event.has_value()) << event.error().text;
      if (!*event) break;
      found.push_back((*event)->text);
    }
    EXPECT_EQ(found, (std::vector<std::string>{"{\"type\":\"ADDED\"}", "{\"type\":\"}\\\"\"}",
                                               "{\"n\":{}}"}));
  }
}

TEST_F(JsonStreamTest, ACutInsideAnEventIsANetworkError) {
  Feed& feed = make_feed();
  feed.event("{\"a\":");
  feed.finish();
  server_.script([&](ServedRequest const&) { return stream(feed); });
  auto const watch = open();
  ASSERT_TRUE(watch.has_value());
  auto const event = run((*watch)->next(soon()));
  ASSERT_TRUE(event.has_error());
  EXPECT_EQ(event.error().code, Errc::network);
}

TEST_F(JsonStreamTest, TheWholeAnswerHasABound) {
  server_.script([](ServedRequest const&) { return reply(200, "{\"a\":1}{\"b\":2}"); });
  auto const whole = open(14);
  ASSERT_TRUE(whole.has_value());
  EXPECT_TRUE(run((*whole)->next(soon())).has_value());
  auto const bounded = open(13);
  ASSERT_TRUE(bounded.has_value());
  auto const event = run((*bounded)->next(soon()));
  ASSERT_TRUE(event.has_error());
  EXPECT_EQ(event.error().code, Errc::limit);
}

// Nothing else on the loop has to wait until a thousand events that came together were read.
TEST_F(JsonStreamTest, ManyPiecesLetOthersHaveTheirTurn) {
  std::string events;
  for (int i = 0; i < 10 * JsonStream::kMaxPiecesPerTurn; ++i) events += "{}";
  server_.script([&](ServedRequest const&) { return reply(200, events); });
  auto const watch = open();
  ASSERT_TRUE(watch.has_value());
  int turns = 0;
  int read = 0;
  std::function<void()> const count = [&] {
    ++turns;
    if (read < 10 * JsonStream::kMaxPiecesPerTurn) asio::post(context_, count);
  };
  asio::post(context_, count);
  auto const all = [&]() -> awaitable<bool> {
    for (;;) {
      auto const event = co_await (*watch)->next(soon());
      if (!event || !*event) co_return event.has_value();
      if (++read == 1) turns = 0;
    }
  };
  EXPECT_TRUE(run(all()));
  EXPECT_EQ(read, 10 * JsonStream::kMaxPiecesPerTurn);
  EXPECT_GE(turns, 9);
}

TEST_F(RestClientTest, APartOfALargeObjectIsReadWithoutTheRest) {
  std::string const filler(RestClient::kMaxAnswer / 2, 'x');
  server_.script([&](ServedRequest const&) {
    return reply(200, R"({"spec":")" + filler + R"(","kind":"Pod","status":[")" +
                          filler.substr(1000) + "\"]}");
  });
  static constexpr JsonField kFields[] = {{"kind", &kJsonScalar}};
  JsonRule const rule = JsonRule::object_of(kFields);
  auto rest = client();
  auto const part = run(rest.get_part("/", rule, soon()));
  ASSERT_TRUE(part.has_value()) << part.error().text;
  EXPECT_EQ(*part, R"({"kind":"Pod"})");
  ASSERT_TRUE(run(rest.get_part("/", rule, soon())).has_value());
  EXPECT_EQ(server_.requests().back().connection, 1);
}

TEST_F(RestClientTest, AnswersWithoutEndHaveABound) {
  for (int const status : {200, 500}) {
    Feed& feed = make_feed();
    for (int i = 0; i < 17; ++i) feed.event(std::string(1024 * 1024, 'x'));
    server_.script([&, status](ServedRequest const&) {
      Answer answer = stream(feed);
      answer.pieces.front().replace(9, 3, std::to_string(status));
      return answer;
    });
    auto rest = client();
    auto const body = run(rest.post("/", "{}", soon()));
    ASSERT_TRUE(body.has_error());
    EXPECT_EQ(body.error().code, status == 200 ? Errc::limit : Errc::server) << body.error().text;
  }
}

TEST_F(RestClientTest, ARefusedWatchIsAnErrorOfItsStatus) {
  server_.script([](ServedRequest const&) { return reply(410, "too old"); });
  auto rest = client();
  auto const watch =
      run(rest.stream("/w", JsonSplitter(kJsonEverything), RestClient::kNoBound, soon()));
  ASSERT_TRUE(watch.has_error());
  EXPECT_EQ(watch.error().code, Errc::gone);
}

}  // namespace
}  // namespace kportal::k8s
