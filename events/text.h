// SPDX-License-Identifier: MIT
// An event as a line for people, in local time (product contract, section 6):
//   14:05:01.123  api:8080  Starting -> Active  pod api-7d9f-x2x
// Columns are two spaces apart; the words of a message come last. What came from outside cannot
// move the cursor or start a line of its own. No newline at the end. Pure but for the zone of local
// time.
#pragma once

#include <string>

#include "events/bus.h"

namespace kportal::events {

enum class Color { no, yes };

std::string to_text(Event const& event, Color color = Color::no);
std::string to_text(Dropped dropped, Color color = Color::no);
std::string to_text(Delivery const& delivery, Color color = Color::no);

}  // namespace kportal::events
