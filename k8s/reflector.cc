// SPDX-License-Identifier: MIT
#include "k8s/reflector.h"

#include <utility>

#include <fmt/format.h>

#include "k8s/rest_client.h"

namespace kportal::k8s {

Reflector::Reflector(asio::any_io_executor executor, RestClient& client, ReflectorSink& sink,
                     Collection collection, ReflectorOptions options)
    : client_(client),
      sink_(sink),
      collection_(std::move(collection)),
      options_(options),
      machine_(options),
      wakeup_(std::move(executor)) {}

awaitable<void> Reflector::run() {
  for (;;) {
    auto const step = machine_.next(Clock::now());
    switch (step.kind) {
      case ReflectorMachine::Step::Kind::list:
        co_await list(step);
        break;
      case ReflectorMachine::Step::Kind::watch:
        co_await watch(step);
        break;
      case ReflectorMachine::Step::Kind::wait:
        co_await wakeup_.wait_until(step.until);
        break;
    }
  }
}

void Reflector::refresh() {
  machine_.refresh();
  wakeup_.set();
  if (open_watch_ != nullptr) open_watch_->close();
}

void Reflector::hurry() {
  machine_.hurry();
  wakeup_.set();
}

awaitable<void> Reflector::list(ReflectorMachine::Step step) {
  if (step.continue_token.empty()) sink_.on_list();
  auto page = co_await read_page(list_target(step));
  bool const endless = page && !page->continue_token.empty() && machine_.is_last_page();
  if (endless) page = Error(Errc::limit, client_.server() + ": the list does not end");
  if (!page) {
    machine_.list_failed(page.error(), Clock::now());
    if (page.error().code != Errc::gone) sink_.on_error(page.error());
    co_return;
  }
  bool const complete = machine_.page(std::move(page->resource_version),
                                      std::move(page->continue_token), Clock::now());
  if (!complete) co_return;
  sink_.on_synced();
  if (machine_.polling()) sink_.on_healthy();
}

awaitable<Result<ListPage>> Reflector::read_page(std::string target) {
  JsonSplitter splitter(collection_.list, "items");
  auto const stream = co_await client_.stream(std::move(target), std::move(splitter), kMaxPage,
                                              Clock::now() + options_.list_deadline);
  if (!stream) co_return stream.error();
  // Counted anew: there may have been a login before the answer began.
  TimePoint const deadline = Clock::now() + options_.list_deadline;
  std::optional<JsonPiece> page;
  for (;;) {
    auto piece = co_await (*stream)->next(deadline);
    if (!piece) {
      if (piece.error().code == Errc::timeout) client_.distrust_connections();
      co_return piece.error();
    }
    if (!*piece) break;
    if (page) co_return Error(Errc::server, client_.server() + ": more than a list");
    if ((*piece)->element) {
      auto const problem = sink_.on_item((*piece)->text);
      if (problem) co_return problem->within(client_.server());
    } else {
      page = std::move(*piece);
    }
  }
  if (!page)
    co_return Error(Errc::server, client_.server() + ": an empty answer instead of a list");
  auto told = sink_.on_page(page->text);
  if (!told) co_return told.error().within(client_.server());
  co_return told;
}

awaitable<void> Reflector::watch(ReflectorMachine::Step step) {
  if (step.fresh_connection) client_.distrust_connections();
  JsonSplitter splitter(collection_.event);
  auto const opened =
      co_await client_.stream(watch_target(step), std::move(splitter), RestClient::kNoBound,
                              Clock::now() + options_.watch_deadline);
  if (!opened) {
    bool const tell = machine_.watch_refused(opened.error(), Clock::now());
    if (tell) sink_.on_error(opened.error());
    if (machine_.polling()) sink_.on_healthy();
    co_return;
  }
  bool const wanted = machine_.watch_opened(Clock::now());
  if (!wanted) co_return;
  sink_.on_healthy();
  auto const error = co_await read_events(**opened);
  bool const tell = machine_.watch_ended(error, Clock::now());
  if (tell) sink_.on_error(*error);
}

awaitable<std::optional<Error>> Reflector::read_events(JsonStream& stream) {
  struct Open {
    Open(JsonStream*& p, JsonStream& s) : place(p) { place = &s; }
    ~Open() { place = nullptr; }
    JsonStream*& place;
  } const open(open_watch_, stream);
  for (;;) {
    auto const piece = co_await stream.next(machine_.silent_at());
    if (!piece) co_return piece.error();
    if (!*piece) co_return std::nullopt;
    WatchEvent event = sink_.on_event((*piece)->text);
    if (event.error) co_return std::move(event.error);
    machine_.event(std::move(event.resource_version), Clock::now());
  }
}

std::string Reflector::list_target(ReflectorMachine::Step const& step) const {
  std::string target = fmt::format("{}?limit={}", collection_.path, options_.page_limit);
  if (!collection_.selector.empty())
    target += "&labelSelector=" + percent_encode(collection_.selector);
  if (!step.continue_token.empty()) target += "&continue=" + percent_encode(step.continue_token);
  return target;
}

std::string Reflector::watch_target(ReflectorMachine::Step const& step) const {
  std::string target =
      fmt::format("{}?watch=1&allowWatchBookmarks=true&timeoutSeconds={}&resourceVersion={}",
                  collection_.path, step.timeout.count(), percent_encode(step.resource_version));
  if (!collection_.selector.empty())
    target += "&labelSelector=" + percent_encode(collection_.selector);
  return target;
}

}  // namespace kportal::k8s
