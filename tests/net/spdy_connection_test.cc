// SPDX-License-Identifier: MIT
#include "net/spdy_connection.h"
