// SPDX-License-Identifier: MIT
// Scout: asks a cluster that proves no life for an answer until it gives one, for all that wait for
// it: dials in the queue and dials in flight that hear nothing. The driver of ScoutMachine, which
// decides when. It opens no connection itself (its owner knocks) and retries nothing for others.
// Owned by the cluster.
#pragma once

#include <list>
#include <optional>

#include "base/error.h"
#include "base/task_group.h"
#include "base/wakeup.h"
#include "k8s/scout_machine.h"

namespace kportal::k8s {

class Scout {
 public:
  class Owner {
   public:
    // Asks the server for any answer. Why there is none, or nothing if there is one.
    virtual awaitable<std::optional<Error>> knock(TimePoint deadline) = 0;
    // When a byte came last that was not told by heard().
    virtual TimePoint last_heard() const = 0;
    // The network was dead and is not any more: what waits for it need not any longer, and what
    // hangs is better begun anew, for TCP would try it again only after many seconds.
    virtual void network_is_back() = 0;

   protected:
    ~Owner() = default;
  };

  // One dial in flight. Making it is beginning, destroying it is the end of it.
  class Attempt {
   public:
    // A patient one is given up for another network only.
    Attempt(Scout& scout, bool patient);
    ~Attempt();
    Attempt(Attempt const&) = delete;
    Attempt& operator=(Attempt const&) = delete;

    // Its server said something.
    void heard();
    // It failed: without a word of the server's that speaks against the network.
    void failed(Error const& error);
    // Returns when the dial is to be put back in the queue. To be awaited beside it.
    awaitable<void> given_up();

   private:
    friend class Scout;
    Scout& scout_;
    bool const patient_;
    TimePoint const began_;
    TimePoint last_sign_;
    bool answered_ = false;
    bool doubted_ = false;
    bool again_ = false;  // begun on a network that was dead
    bool moved_ = false;  // begun on a network that is no more
    Wakeup changed_;
    std::list<Attempt*>::iterator at_;
  };

  Scout(asio::any_io_executor executor, Owner& owner);

  bool dark() const { return machine_.dark(); }
  void heard(TimePoint at);
  void doubt(TimePoint since);
  // Returns at once unless it is dark; else with the first knock that ends: nothing if the cluster
  // lives, or why it is not reached.
  awaitable<std::optional<Error>> alive();
  // There are other routes or addresses: knocks at once if it is dark, and dials that have heard
  // nothing yet are to begin anew.
  void network_changed();

  // Ends and joins what it does. Before destruction.
  awaitable<void> stop();

 private:
  struct Waiting {
    explicit Waiting(asio::any_io_executor const& executor) : wakeup(executor) {}
    Wakeup wakeup;
    std::optional<Error> verdict;
  };

  awaitable<void> run();
  awaitable<void> knock(TimePoint began);
  void wake_all();

  asio::any_io_executor executor_;
  Owner& owner_;
  ScoutMachine machine_;
  std::list<Waiting*> waiting_;
  std::list<Attempt*> attempts_;
  bool running_ = false;
  Wakeup wake_;
  TaskGroup tasks_;   // run(), while it is dark
  TaskGroup knocks_;  // those in flight
};

}  // namespace kportal::k8s
