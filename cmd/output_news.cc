// SPDX-License-Identifier: MIT
#include "cmd/output_news.h"

#include <fmt/format.h>

#include "base/descriptors.h"

namespace kportal::cmd {

std::string output_news(std::string_view output, Writer::News news, int error) {
  std::string const cause = cause_of(error_code(error, boost::system::system_category()));
  switch (news) {
    case Writer::News::failing:
      return fmt::format(
          "{}: {}; the forwards go on; lines wait for room, and those beyond {} KiB are lost",
          output, cause, Writer::kMaxQueuedBytes / 1024);
    case Writer::News::recovered:
      return fmt::format("{}: it takes lines again", output);
    case Writer::News::displaced:
      return fmt::format(
          "{}: it was moved away, and none can be opened in its place: {}; lines go "
          "to where it is now",
          output, cause);
    case Writer::News::dead:
      return fmt::format("{}: nobody can read it any more: {}", output, cause);
  }
  return {};
}

}  // namespace kportal::cmd
