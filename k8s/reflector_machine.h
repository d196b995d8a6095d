// SPDX-License-Identifier: MIT
// ReflectorMachine: what to ask the API server next so that a list of objects stays true
// (client-go: Reflector.ListAndWatch): LIST in pages, WATCH from the list's resourceVersion, resume
// after a cut, LIST again after 410. No I/O, no clock: answers and `now` in, the next step out.
#pragma once

#include <cstdint>
#include <optional>
#include <random>
#include <string>

#include "base/backoff.h"
#include "base/clock.h"
#include "base/error.h"

namespace kportal::k8s {

struct ReflectorOptions {
  int page_limit = 100;
  Duration list_deadline = std::chrono::seconds(30);   // until a page begins, and for the rest
  Duration watch_deadline = std::chrono::seconds(30);  // until the watch is accepted
  Duration silence =
      std::chrono::seconds(150);  // without event or bookmark: the watch is asked anew
  // After 401, 403, 404 and a failed login, at the most. A server that starts again says such
  // things for seconds, until it has read its rules (kubernetes/kubernetes#121635), so what worked
  // before is asked for sooner at first: by back-off, after a 401 at least first_retry.
  Duration slow_retry = std::chrono::seconds(10);
  Duration first_retry = std::chrono::seconds(2);
  Duration poll_interval = std::chrono::seconds(10);  // LIST this often where watch is forbidden
  // A watch that lived this long was a good one: its end is answered at once.
  Duration proven_watch = std::chrono::seconds(5);
  std::chrono::seconds min_watch{240};  // timeoutSeconds is random between these
  std::chrono::seconds max_watch{480};
  std::uint32_t seed = 1;

  ReflectorOptions() = default;
};

class ReflectorMachine {
 public:
  // Pages of one list, so that a server that never ends it is noticed.
  static constexpr int kMaxPages = 2000;
  // Watches in a row that failed before the list is asked again, for the version may be at fault.
  static constexpr int kMaxWatchFailures = 5;
  // Polls before a forbidden watch is tried again.
  static constexpr int kPollsPerWatch = 30;
  // A watch that worked before is forbidden for good if it is so often in a row.
  static constexpr int kMaxForbiddenWatches = 5;

  struct Step {
    enum class Kind {
      list,   // the first page if continue_token is empty
      watch,  // from resource_version
      wait,   // until `until`; refresh() ends it
    };
    Kind kind = Kind::wait;
    std::string continue_token;
    std::string resource_version;
    std::chrono::seconds timeout{0};  // of the watch, on the server
    bool fresh_connection = false;    // the last watch was silent: its connection may be dead
    TimePoint until{};

    Step() = default;
  };

  explicit ReflectorMachine(ReflectorOptions const& options);

  // What to do now. Asked again after its outcome was told.
  Step next(TimePoint now);

  // Outcomes of a list step. page() is true when it was the last one: the list is complete.
  bool page(std::string resource_version, std::string continue_token, TimePoint now);
  void list_failed(Error const& error, TimePoint now);
  // The page that is on its way must be the list's last.
  bool is_last_page() const { return pages_ + 1 >= kMaxPages; }

  // Outcomes of a watch step: either refused, or opened, then events, then ended (nullopt =
  // orderly; an ERROR event ends it too). True when a person should know: what was listed may get
  // old.
  bool watch_refused(Error const& error, TimePoint now);
  // False when it is no longer wanted: then it has ended without being told.
  bool watch_opened(TimePoint now);
  // An object or a bookmark; moves the resourceVersion.
  void event(std::string resource_version, TimePoint now);
  bool watch_ended(std::optional<Error> const& error, TimePoint now);

  // LIST anew as soon as possible, but not before a time the server asked to wait. The driver also
  // ends the watch it is reading, and tells. A list that is on its way goes on: it is not older
  // than its first page, and the watch behind it brings what came since. So no number of these
  // keeps a long list from its end.
  void refresh();

  // What failed may succeed now: ends the wait for its next try, unless the server asked to wait.
  void hurry();

  // Watching is forbidden, so the list is asked again and again.
  bool polling() const { return polls_ > 0; }
  // While a watch is open: when it counts as silent. Then watch_ended(Errc::timeout).
  TimePoint silent_at() const { return last_event_ + options_.silence; }

 private:
  void retry(Error const& error, TimePoint now);
  Duration wait_for_change(Errc code);
  void relist();

  ReflectorOptions options_;
  Backoff backoff_;
  std::minstd_rand random_;
  std::string resource_version_;
  std::string continue_token_;
  TimePoint not_before_{};  // a wait comes before the next step
  TimePoint asked_wait_{};  // the server wants no request before
  TimePoint opened_{};      // the watch
  TimePoint last_event_{};  // or its opening
  int pages_ = 0;
  int watch_failures_ = 0;
  int polls_ = 0;        // since watching was forbidden; 0 = it is not
  bool listed_ = false;  // resource_version_ is good to watch from
  bool had_event_ = false;
  bool was_gone_ = false;  // 410 since the last good watch: another one waits
  bool fresh_ = false;
  bool listing_ = false;  // a list is on its way, or between two pages
  bool refresh_ = false;  // came meanwhile
  bool worked_ = false;   // a list was complete once
  bool watched_ = false;  // a watch was opened once
  int forbidden_ = 0;     // watches in a row
  bool failed_ = false;   // not_before_ is for a failure
};

}  // namespace kportal::k8s
