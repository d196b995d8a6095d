// SPDX-License-Identifier: MIT
// DialGate: at most so many dials of one cluster at a time, first come first served, so that a
// restart of many forwards does not trample its API server. Owned by the cluster, on one loop.
#pragma once

#include <cstddef>
#include <list>

#include "base/wakeup.h"

namespace kportal::k8s {

class DialGate {
 public:
  // Being inside. Leaving is destroying it; the gate must outlive it.
  class Pass {
   public:
    explicit Pass(DialGate& gate) : gate_(&gate) {}
    Pass(Pass&& other) noexcept;
    Pass& operator=(Pass&&) = delete;
    ~Pass();

   private:
    DialGate* gate_;
  };

  DialGate(asio::any_io_executor executor, std::size_t limit);

  awaitable<Pass> enter();

 private:
  void leave();

  asio::any_io_executor executor_;
  std::size_t limit_;
  std::size_t inside_ = 0;
  std::list<Wakeup*> waiting_;
};

}  // namespace kportal::k8s
