// SPDX-License-Identifier: MIT
// Promise: what the simulation holds the machines to, each by a name. A planted bug (mutants/*)
// says which of them it breaks, and its test passes only if that one is found broken; plant.py
// --check fails if one has no bug that breaks it. A check that the simulation makes of itself has
// no name.
#pragma once

#include <cstddef>
#include <string_view>

namespace kportal::sim {

enum class Promise {
  // A connection
  placed_once,     // on one tunnel at a time, and on one that is up
  ends_once,       // it ends, moves or gives way only where it is
  seen_once,       // what a pod may have seen goes to no other
  bytes_in_order,  // and are its own
  delivered,       // a clean end means that all came
  hold_bounded,    // in time
  held_bounded,    // in number
  gives_way,       // who stops others on a shared tunnel for too long is reset
  all_accounted,   // connections, tunnels and dials: what is here is what the machine counts
  // A tunnel
  drained_first,    // closed without connections only
  dead_is_dead,     // taken for dead only if nothing came
  blocked_is_left,  // one that a refused connection blocked is replaced
  session_holds,    // both ends understand each other
  // Dials
  dial_budget,
  announced_wait,  // no dial before its end
  attempts_counted,
  backoff_steps,
  // The cluster's proof of life
  dark_is_silent,    // not while something is heard
  dark_is_asked,     // each two seconds, sooner where it refuses at once or the network changed
  asked_in_measure,  // and no more often
  light_is_seen,     // what answers again is not dark for longer
  // Events and status
  no_event_lost,
  changes_chained,  // each begins where the one before ended
  change_allowed,
  error_has_reason,
  starting_once,   // a flapping forward cannot hide in the grace
  excused,         // 401, 403, 404 just after Active
  connected_told,  // as it is, and each change once
  status_told,     // as it is
  active_has_tunnel,
  active_has_proof,
  active_has_way,   // not for longer than silence is noticed in
  active_has_port,  // not for longer than podProbe allows
  doubt_answered,   // after a connection failed
  error_is_final,   // an attempt that failed is none while a tunnel serves
  waiting_ends,     // Starting and Reconnecting
  repaired,         // while all is well it becomes Active
  ticket_once,
  rests,  // what is disabled does nothing and says so
  // The configuration
  reload_exact,  // what it changes is replaced, nothing else
  // The end, and time
  nothing_after_stop,
  stops,
  time_passes,  // nothing is due at once again and again
};

inline constexpr std::string_view kPromises[] = {
    "placed_once",      "ends_once",          "seen_once",
    "bytes_in_order",   "delivered",          "hold_bounded",
    "held_bounded",     "gives_way",          "all_accounted",
    "drained_first",    "dead_is_dead",       "blocked_is_left",
    "session_holds",    "dial_budget",        "announced_wait",
    "attempts_counted", "backoff_steps",      "dark_is_silent",
    "dark_is_asked",    "asked_in_measure",   "light_is_seen",
    "no_event_lost",    "changes_chained",    "change_allowed",
    "error_has_reason", "starting_once",      "excused",
    "connected_told",   "status_told",        "active_has_tunnel",
    "active_has_proof", "active_has_way",     "active_has_port",
    "doubt_answered",   "error_is_final",     "waiting_ends",
    "repaired",         "ticket_once",        "rests",
    "reload_exact",     "nothing_after_stop", "stops",
    "time_passes",
};

constexpr std::string_view to_word(Promise promise) {
  return kPromises[static_cast<std::size_t>(promise)];
}

}  // namespace kportal::sim
