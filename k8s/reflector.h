// SPDX-License-Identifier: MIT
// Reflector: keeps a sink up to date with one collection of the API server, by LIST and WATCH. The
// driver of ReflectorMachine, which decides; the sink parses and keeps. Owned by the object's
// cache.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/error.h"
#include "base/wakeup.h"
#include "k8s/json_rule.h"
#include "k8s/reflector_machine.h"

namespace kportal::k8s {

class RestClient;
class JsonStream;

struct ListPage {
  std::string resource_version;
  std::string continue_token;  // empty = the last page

  ListPage() = default;
};

struct WatchEvent {
  std::string resource_version;  // of the object or bookmark
  std::optional<Error> error;    // of an ERROR event, or why this was none; ends the watch

  WatchEvent() = default;
};

// Called on the loop, from run(). Must not destroy the reflector.
class ReflectorSink {
 public:
  virtual ~ReflectorSink() = default;
  // A list begins; what an unfinished one before brought is void.
  virtual void on_list() = 0;
  // Takes in one item of a page, its JSON text; the reason why not ends the list.
  virtual std::optional<Error> on_item(std::string_view json) = 0;
  // Takes in what the page says beside its items, which have all been told.
  virtual Result<ListPage> on_page(std::string_view json) = 0;
  // The pages since on_list() are all there is; replaces everything.
  virtual void on_synced() = 0;
  // Applies one watch event, whole JSON text.
  virtual WatchEvent on_event(std::string_view json) = 0;
  // A list or watch was refused or not answered; what is there may be old. It will be tried again.
  virtual void on_error(Error const& error) = 0;
  // The watch, or the polling in its place, works; follows on_synced() or ends an error.
  virtual void on_healthy() = 0;
};

// What is reflected, and which part of its JSON the sink gets to see.
struct Collection {
  std::string path;      // without query, such as "/api/v1/namespaces/shop/pods"
  std::string selector;  // of labels, or ""
  JsonRule const& list;  // both outlive the reflector
  JsonRule const& event;

  Collection(std::string p, std::string s, JsonRule const& l, JsonRule const& e)
      : path(std::move(p)), selector(std::move(s)), list(l), event(e) {}
};

class Reflector {
 public:
  // One page of a list as sent: what 100 objects as large as etcd takes them need.
  static constexpr std::uint64_t kMaxPage = 160 * 1024 * 1024;

  // `client` and `sink` outlive it.
  Reflector(asio::any_io_executor executor, RestClient& client, ReflectorSink& sink,
            Collection collection, ReflectorOptions options);

  // Never returns but by cancellation. Once.
  awaitable<void> run();
  // LIST again now: ends a wait or a watch. A request that has not been answered yet is waited for,
  // up to its deadline; CurlMulti::drop_connections() ends it.
  void refresh();
  // Ends the wait after a failure.
  void hurry();

 private:
  awaitable<void> list(ReflectorMachine::Step step);
  awaitable<Result<ListPage>> read_page(std::string target);
  awaitable<void> watch(ReflectorMachine::Step step);
  // Returns the reason of the end; nullopt = orderly.
  awaitable<std::optional<Error>> read_events(JsonStream& stream);
  std::string list_target(ReflectorMachine::Step const& step) const;
  std::string watch_target(ReflectorMachine::Step const& step) const;

  RestClient& client_;
  ReflectorSink& sink_;
  Collection collection_;
  ReflectorOptions options_;
  ReflectorMachine machine_;
  Wakeup wakeup_;
  JsonStream* open_watch_ = nullptr;
};

}  // namespace kportal::k8s
