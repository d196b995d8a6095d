// SPDX-License-Identifier: MIT
// Place: a Kubernetes as the measured programs are pointed at it: a kubeconfig and a namespace of
// its current context. What can be done to it or asked of it is of those that derive from it.
#pragma once

#include <stdexcept>
#include <string>
#include <string_view>

namespace kportal::bench {

// Ends a row: what it needs is not there. What is measured is never this.
class CannotMeasure : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

class Place {
 public:
  virtual ~Place() = default;

  virtual std::string_view name() const = 0;
  virtual std::string kubeconfig() const = 0;  // a path
  virtual std::string name_space() const = 0;
};

}  // namespace kportal::bench
