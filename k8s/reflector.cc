// SPDX-License-Identifier: MIT
#include "k8s/reflector.h"

#include <utility>

#include <fmt/format.h>

#include "k8s/rest_client.h"

namespace kportal::k8s {

Reflector::Reflector(asio::any_io_executor executor, RestClient& client, ReflectorSink& sink,
                     std::string path, std::string selector, ReflectorOptions options)
    : client_(client),
      sink_(sink),
      path_(std::move(path)),
      selector_(std::move(selector)),
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

awaitable<void> Reflector::list(ReflectorMachine::Step step) {
  if (step.continue_token.empty()) sink_.on_list();
  auto const body = co_await client_.get(list_target(step), Clock::now() + options_.list_deadline);
  auto page = body ? sink_.on_page(*body) : Result<ListPage>(body.error());
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

awaitable<void> Reflector::watch(ReflectorMachine::Step step) {
  if (step.fresh_connection) client_.distrust_connections();
  auto const opened =
      co_await client_.watch(watch_target(step), Clock::now() + options_.watch_deadline);
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

awaitable<std::optional<Error>> Reflector::read_events(WatchStream& stream) {
  struct Open {
    Open(WatchStream*& p, WatchStream& s) : place(p) { place = &s; }
    ~Open() { place = nullptr; }
    WatchStream*& place;
  } const open(open_watch_, stream);
  for (;;) {
    auto const text = co_await stream.next(machine_.silent_at());
    if (!text) co_return text.error();
    if (!*text) co_return std::nullopt;
    WatchEvent event = sink_.on_event(**text);
    if (event.error) co_return std::move(event.error);
    machine_.event(std::move(event.resource_version), Clock::now());
  }
}

std::string Reflector::list_target(ReflectorMachine::Step const& step) const {
  std::string target = fmt::format("{}?limit={}", path_, options_.page_limit);
  if (!selector_.empty()) target += "&labelSelector=" + percent_encode(selector_);
  if (!step.continue_token.empty()) target += "&continue=" + percent_encode(step.continue_token);
  return target;
}

std::string Reflector::watch_target(ReflectorMachine::Step const& step) const {
  std::string target =
      fmt::format("{}?watch=1&allowWatchBookmarks=true&timeoutSeconds={}&resourceVersion={}", path_,
                  step.timeout.count(), percent_encode(step.resource_version));
  if (!selector_.empty()) target += "&labelSelector=" + percent_encode(selector_);
  return target;
}

}  // namespace kportal::k8s
