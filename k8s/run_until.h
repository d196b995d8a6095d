// SPDX-License-Identifier: MIT
// run_until: two coroutines at once, of which the end of the second ends the first. For what is to
// be given up when something happens that it does not hear of itself.
#pragma once

#include "base/wakeup.h"

namespace kportal::k8s {

// Runs `task` until it ends, or until `end` does. False if that came first: then the task was
// cancelled, and may have ended with an error for it. Cancelled itself, it throws.
awaitable<bool> run_until(awaitable<void> task, awaitable<void> end);

}  // namespace kportal::k8s
