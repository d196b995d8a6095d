// SPDX-License-Identifier: MIT
#include "tests/bench/loop_waits.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "tests/bench/place.h"

namespace kportal::bench {

LoopWaits::LoopWaits() {
  std::string const path = dir_.write("counts", std::string(sizeof(LoopWaitCounts), '\0'));
  int const fd = ::open(path.c_str(), O_RDWR | O_CLOEXEC);
  void* const at =
      ::mmap(nullptr, sizeof(LoopWaitCounts), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  ::close(fd);
  if (at == MAP_FAILED) throw CannotMeasure("cannot count the waits of a loop");
  counts_ = static_cast<LoopWaitCounts*>(at);
}

LoopWaits::~LoopWaits() {
  ::munmap(counts_, sizeof(LoopWaitCounts));
}

std::vector<std::string> LoopWaits::environment() const {
  return {std::string("LD_PRELOAD=") + KPORTAL_BENCH_LOOP_WAITS_LIBRARY,
          std::string(kLoopWaitsFile) + "=" + dir_.file("counts")};
}

}  // namespace kportal::bench
