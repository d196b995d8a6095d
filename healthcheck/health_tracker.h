// SPDX-License-Identifier: MIT
// HealthTracker: the life of one forward's status. Facts of its worker, answers to checks and the
// time go in; changes of status and the checks to make come out. Pure: no I/O, no clock, no events
// bus (healthcheck/checker has those). Owned by the Checker, one a forward.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "base/clock.h"
#include "base/error.h"
#include "config/config.h"
#include "events/status.h"

namespace kportal::healthcheck {

using events::Reason;
using events::Status;

// Of one tunnel of one forward; given by the worker, never used twice by it.
using Generation = std::uint64_t;

// One probe or one ping. An answer with a ticket that is not waited for any more changes nothing.
struct Ticket {
  Generation generation = 0;
  std::uint64_t number = 0;

  Ticket() = default;
  Ticket(Generation g, std::uint64_t n) : generation(g), number(n) {}
  bool operator==(Ticket const&) const = default;
};

// What a probe found. Good, or why not; or nothing at all.
struct ProbeVerdict {
  std::optional<Error> error;
  // Nothing could be found out just now: it changes nothing and is tried again later.
  bool unknown = false;
  // Good because nothing was said against it: the pod itself was not heard.
  bool silent = false;

  ProbeVerdict() = default;  // good
  explicit ProbeVerdict(Error e) : error(std::move(e)) {}
  static ProbeVerdict of_silence() {
    ProbeVerdict verdict;
    verdict.silent = true;
    return verdict;
  }

  static ProbeVerdict of_nothing() {
    ProbeVerdict verdict;
    verdict.unknown = true;
    return verdict;
  }

  bool good() const { return !error.has_value() && !unknown; }
  bool bad() const { return error.has_value(); }
  // none, refused or probe_failed.
  Reason reason() const;
};

// What the worker knows without asking anybody: of the tunnel of the newest generation and of the
// user connections on it, for bytes of a pod that was left prove nothing of the next.
// TimePoint{} = never.
struct Evidence {
  TimePoint last_pod_byte{};              // user bytes from the pod
  TimePoint last_life{};                  // any byte from the peer, frames of the protocol included
  TimePoint last_traffic{};               // user bytes either way; probes and pings are not traffic
  TimePoint tunnel_since{};               // when this tunnel came up
  bool accepted_connection_open = false;  // a user's connection that the pod's port accepted
  bool pod_ready = true;                  // false: not Ready, and the forward minds
  // Without a tunnel: a login plugin runs for it, which may wait for a person.
  bool logging_in = false;
};

struct StartProbe {
  Ticket ticket;
  config::ProbeMethod method{};  // never none
  TimePoint deadline;
};
struct StartPing {
  Ticket ticket;
  TimePoint deadline;
};
struct StatusChange {
  bool first = false;  // then `old` means nothing
  Status old{};
  Status status{};
  Reason reason{};
  std::string message;
  std::string pod;
};
struct BecameStale {
  std::string message;
};
using Action = std::variant<StatusChange, BecameStale, StartProbe, StartPing>;
// In the order in which they are to be done.
using Actions = std::vector<Action>;

// A loss shows as Reconnecting for this long; then Error, while trying goes on.
inline constexpr Duration kReconnectingLimit = std::chrono::seconds(30);
// For this long after a forward was Active, 401, 403 and 404 are taken for a server that is
// starting.
inline constexpr Duration kExcuseAfterActive = std::chrono::seconds(30);
// The longest wait between two tries of a port that refuses or does not answer.
inline constexpr Duration kMaxRetry = std::chrono::seconds(30);
// Doubts closer together than this share a probe.
inline constexpr Duration kDoubtGap = std::chrono::seconds(1);
// An answer is expected by its deadline; after this much more its absence is the answer.
inline constexpr Duration kAnswerSlack = std::chrono::milliseconds(100);
// A deadline noticed this late means that the loop itself stood still, and the answer may wait
// unread.
inline constexpr Duration kLoopStall = std::chrono::milliseconds(100);
// So often, for one answer: a loop that is always late has read what there is.
inline constexpr int kMaxStalls = 3;

class HealthTracker {
 public:
  // `initial` is starting, idle or disabled, and the first change of status. Ticket numbers begin
  // behind `first_ticket`.
  HealthTracker(config::HealthCheck settings, Status initial, std::uint64_t first_ticket,
                TimePoint now, Actions& out);

  // A start, restart or enable, or an idle forward that is wanted: there is no tunnel yet. Not for
  // each attempt, for it forgets what was lost. Changes nothing if it is so already.
  void mark_starting(TimePoint now, Actions& out);
  void mark_idle(TimePoint now, Actions& out);
  void mark_disabled(TimePoint now, Actions& out);
  // A tunnel is up: the first, another after a loss, or a refreshed one, but not a further one
  // beside it. It is checked at once; the status waits for the answer.
  void mark_connected(Generation generation, std::string pod, Evidence const& evidence,
                      TimePoint now, Actions& out);
  // The forward has no tunnel any more, and why.
  void mark_reconnecting(Reason reason, std::string message, TimePoint now, Actions& out);
  // An attempt to get a tunnel failed, and there is none. Not for a refresh while the old one
  // serves.
  void mark_failed(Reason reason, std::string message, TimePoint now, Actions& out);
  // A byte of a user's connection came from the pod.
  void record_activity(TimePoint now, Actions& out);
  // A connection failed, a container restarted, or readiness changed: the port is probed now.
  void doubt(Evidence const& evidence, TimePoint now, Actions& out);

  void probe_result(Ticket ticket, ProbeVerdict const& verdict, Evidence const& evidence,
                    TimePoint now, Actions& out);
  // True: an answer came, or the tunnel is stalled for a reason of ours and proved life otherwise.
  void ping_result(Ticket ticket, bool answered, Evidence const& evidence, TimePoint now,
                   Actions& out);

  // Does what is due. To be called at deadline(), and harmless at any other time.
  void tick(Evidence const& evidence, TimePoint now, Actions& out);
  TimePoint deadline() const;

  void update_settings(config::HealthCheck settings, TimePoint now);
  // Shown as the message while there is no other; no event. Forgotten when the pod changes.
  void note(std::string message) { note_ = std::move(message); }

  // True if `reason` ends the hope of waiting: permanent, and not excused by a recent Active.
  bool is_final(Reason reason, TimePoint now) const;

  Status status() const { return status_; }
  Reason reason() const { return reason_; }
  std::string const& message() const { return message_.empty() ? note_ : message_; }
  std::string const& pod() const { return pod_; }
  TimePoint since() const { return since_; }
  // When the newest verdict was sought; TimePoint{} if none was.
  TimePoint last_check() const { return last_check_; }
  // There is a tunnel, so evidence means something.
  bool connected() const { return connected_; }

 private:
  struct Waiting {
    Ticket ticket;
    TimePoint started;
    TimePoint give_up;
    bool confirming = false;
    int stalls = 0;  // its end was put off so often
  };

  void change(Status status, Reason reason, std::string message, TimePoint now, Actions& out);
  void rest(Status status, TimePoint now, Actions& out);
  void drop_tunnel();
  void lose(Reason reason, std::string message, TimePoint now, Actions& out);
  void settle(TimePoint now, Actions& out);
  void absorb(Evidence const& evidence, TimePoint now, Actions& out);
  void good(TimePoint seen, TimePoint now, Actions& out);
  void bad(Reason reason, std::string message, TimePoint now, Actions& out);
  void ping_answered(TimePoint now, Actions& out);
  void ping_timed_out(TimePoint now, Actions& out);
  void probe_failed(Waiting const& probe, Reason reason, std::string message, TimePoint now,
                    Actions& out);
  void probe_found_nothing(TimePoint now, Actions& out);
  void give_up_overdue(TimePoint now, Actions& out);
  void seek_verdict(TimePoint now, Actions& out);
  void probe_if_due(TimePoint now, Actions& out);
  void start_probe(bool confirming, TimePoint now, Actions& out);
  std::optional<std::string> staleness(TimePoint now) const;
  void become_stale(TimePoint now, Actions& out);
  bool in_grace(TimePoint now) const;
  bool outlived_grace(TimePoint now) const;
  bool waits_for_tunnel() const { return !connected_ || suspect_; }
  void wait_for_login(TimePoint now);
  TimePoint trying_limit() const;
  TimePoint verdict_limit() const;
  TimePoint grace_end() const;
  TimePoint probe_due() const;
  bool probes() const { return settings_.method != config::ProbeMethod::none; }
  bool may_probe() const { return probes() && !evidence_.accepted_connection_open; }

  config::HealthCheck settings_;
  Status status_;
  Reason reason_ = Reason::none;
  std::string message_;
  std::string note_;
  std::string pod_;
  TimePoint since_;
  TimePoint last_check_{};
  std::uint64_t last_ticket_;

  bool connected_ = false;
  bool suspect_ = false;  // connected, but a ping went unanswered
  Generation generation_ = 0;
  TimePoint connected_at_{};
  Generation told_stale_ = 0;  // the last that was
  Evidence evidence_;
  TimePoint last_life_{};    // of the tunnel, as far as known
  TimePoint newest_byte_{};  // bytes from the pod up to here have been counted
  bool bytes_came_ = false;  // since the last verdict

  bool was_active_ = false;     // since the start
  bool failed_before_ = false;  // an attempt since the start or the loss
  TimePoint active_since_{};
  std::optional<TimePoint> left_active_;
  std::optional<TimePoint> trying_since_;  // unset while nothing was lost since the last Active
  std::optional<TimePoint> grace_since_;   // unset: the next connection begins it

  bool port_bad_ = false;  // the confirmed verdict on the pod's port
  bool unheard_ = false;   // the last probe of this tunnel could find nothing out
  Duration retry_{};
  TimePoint next_retry_ = kNever;
  TimePoint last_good_{};  // evidence from the pod's own port
  std::optional<TimePoint> doubt_;
  TimePoint last_probe_end_{};
  TimePoint probe_not_before_{};
  TimePoint next_verdict_ = kNever;
  std::optional<Waiting> probe_;
  std::optional<Waiting> ping_;
};

}  // namespace kportal::healthcheck
