// SPDX-License-Identifier: MIT
#include "tests/bench/far_place.h"

#include <charconv>
#include <fstream>
#include <iterator>

#include <fmt/format.h>

namespace kportal::bench {

FarPlace::FarPlace(Place const& near, Duration round_trip) : near_(near) {
  std::ifstream file(near.kubeconfig());
  std::string text((std::istreambuf_iterator<char>(file)), {});
  std::string_view const scheme = "https://";
  std::size_t const host = text.find(scheme);
  std::size_t const colon = text.find(':', host + scheme.size());
  std::size_t const end = std::min(text.find_first_of("\"\n ", colon), text.size());
  std::uint16_t port = 0;
  if (host != std::string::npos && colon != std::string::npos) {
    std::from_chars(text.data() + colon + 1, text.data() + end, port);
  }
  if (port == 0) throw CannotMeasure("no server with a port in " + near.kubeconfig());
  std::size_t const begin = host + scheme.size();
  line_ = std::make_unique<DelayLine>(text.substr(begin, colon - begin), port, round_trip);
  text.replace(begin, end - begin, fmt::format("127.0.0.1:{}", line_->port()));
  dir_.write("kubeconfig", text);
}

}  // namespace kportal::bench
