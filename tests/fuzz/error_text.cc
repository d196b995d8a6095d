// SPDX-License-Identifier: MIT
// Fuzzer of the runtime's words on an error stream.
#include <algorithm>
#include <cctype>

#include "net/port_stream.h"
#include "tests/fuzz/fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(std::uint8_t const* data, std::size_t size) {
  using namespace kportal;
  fuzz::Budget const budget;
  std::string text(fuzz::Input(data, size).rest());
  Error const error = net::classify_error_text(text, 8080);
  fuzz::require(error.code == Errc::pod_gone || error.code == Errc::pod_refused ||
                error.code == Errc::pod_reset || error.code == Errc::stream_failed);
  fuzz::require(fuzz::is_one_clean_line(error.text));
  fuzz::require(error.text.size() <= 4 * net::PortStream::kMaxErrorText);
  std::ranges::transform(text, text.begin(), [](unsigned char c) {
    return static_cast<char>(c < 0x80 ? std::toupper(c) : c);
  });
  fuzz::require(net::classify_error_text(text, 8080).code == error.code);
  return 0;
}
