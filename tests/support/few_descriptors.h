// SPDX-License-Identifier: MIT
// FewDescriptors: a process that runs out of descriptors, for tests of what is done then.
#pragma once

#include <sys/resource.h>
#include <unistd.h>
#include <vector>

#include <gtest/gtest.h>

namespace kportal::test {

// While it lives this process gets no more than so many descriptors.
class FewDescriptors {
 public:
  explicit FewDescriptors(int count) {
    ::getrlimit(RLIMIT_NOFILE, &before_);
    std::vector<int> taken;
    for (int i = 0; i <= count; ++i) taken.push_back(::dup(STDIN_FILENO));
    for (int const each : taken) ::close(each);
    rlimit few = before_;
    few.rlim_cur = static_cast<rlim_t>(taken.back());
    EXPECT_EQ(::setrlimit(RLIMIT_NOFILE, &few), 0);
  }
  ~FewDescriptors() { ::setrlimit(RLIMIT_NOFILE, &before_); }
  FewDescriptors(FewDescriptors const&) = delete;
  FewDescriptors& operator=(FewDescriptors const&) = delete;

 private:
  rlimit before_{};
};

}  // namespace kportal::test
