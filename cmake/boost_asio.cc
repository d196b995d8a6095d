// SPDX-License-Identifier: MIT
// The one place where Asio's implementation is compiled; all others see declarations only.
#include <boost/asio/impl/src.hpp>
