// SPDX-License-Identifier: MIT
// bench_loop_waits: loaded before libc into a program that is measured. Remembers which of the
// program's descriptors are timers, and what epoll tells of them, to count what woke the loop.
#include <array>
#include <cstdlib>
#include <dlfcn.h>
#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "tests/bench/loop_waits.h"

namespace {

using kportal::bench::LoopWaitCounts;

constexpr std::size_t kMaxDescriptor = 65'536;

std::array<std::atomic<bool>, kMaxDescriptor> timer_descriptors;
// What epoll says for a timer; few programs have more than one loop and one clock.
std::array<std::atomic<std::uint64_t>, 16> timers;

LoopWaitCounts* open_counts() {
  char const* const path = std::getenv(kportal::bench::kLoopWaitsFile);
  int const fd = path == nullptr ? -1 : ::open(path, O_RDWR | O_CLOEXEC);
  if (fd < 0) return nullptr;
  void* const at =
      ::mmap(nullptr, sizeof(LoopWaitCounts), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  ::close(fd);
  return at == MAP_FAILED ? nullptr : static_cast<LoopWaitCounts*>(at);
}

template <class Function>
Function* next(char const* name) {
  return reinterpret_cast<Function*>(::dlsym(RTLD_NEXT, name));
}

bool is_timer(epoll_event const& event) {
  for (auto const& each : timers) {
    if (each != 0 && each == event.data.u64) return true;
  }
  return false;
}

void count(int found, epoll_event const* events) {
  static LoopWaitCounts* const counts = open_counts();
  if (counts == nullptr || found < 0) return;
  bool timer = found == 0;  // the call's own time was up
  for (int i = 0; i < found; ++i) timer = timer || is_timer(events[i]);
  ++(timer ? counts->by_timer : counts->by_others);
}

}  // namespace

extern "C" int timerfd_create(clockid_t clock, int flags) noexcept {
  static auto* const real = next<int(clockid_t, int)>("timerfd_create");
  int const fd = real(clock, flags);
  if (fd >= 0 && static_cast<std::size_t>(fd) < kMaxDescriptor) {
    timer_descriptors[static_cast<std::size_t>(fd)] = true;
  }
  return fd;
}

// Its number may be another descriptor's next.
extern "C" int close(int fd) {
  static auto* const real = next<int(int)>("close");
  if (static_cast<std::size_t>(fd) < kMaxDescriptor) {
    timer_descriptors[static_cast<std::size_t>(fd)] = false;
  }
  return real(fd);
}

extern "C" int epoll_ctl(int epoll, int operation, int fd, epoll_event* event) noexcept {
  static auto* const real = next<int(int, int, int, epoll_event*)>("epoll_ctl");
  if (operation == EPOLL_CTL_ADD && static_cast<std::size_t>(fd) < kMaxDescriptor &&
      timer_descriptors[static_cast<std::size_t>(fd)]) {
    for (auto& each : timers) {
      std::uint64_t none = 0;
      if (each == event->data.u64 || each.compare_exchange_strong(none, event->data.u64)) break;
    }
  }
  return real(epoll, operation, fd, event);
}

extern "C" int epoll_wait(int epoll, epoll_event* events, int most, int timeout) {
  static auto* const real = next<int(int, epoll_event*, int, int)>("epoll_wait");
  int const found = real(epoll, events, most, timeout);
  // One that did not wait was not woken.
  if (timeout != 0) count(found, events);
  return found;
}
