// SPDX-License-Identifier: MIT
// Is the local port free, or whose is it? Binds it for a moment, as the forward would, and gives it
// back. Blocks for milliseconds at most.
#pragma once

#include <boost/asio/any_io_executor.hpp>

#include "config/config.h"
#include "doctor/report.h"

namespace kportal::doctor {

// A port that this program holds in another process is as good as free: a running instance has the
// forward. One that somebody else holds is a warning: `up` would be in Error, but nothing of the
// way to the pod is wrong.
void examine_local_port(boost::asio::any_io_executor executor, config::ForwardSpec const& spec,
                        Hops& hops);

}  // namespace kportal::doctor
