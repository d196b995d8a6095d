// SPDX-License-Identifier: MIT
// bench_peer: `relay TLS-PORT...` or `discard API-PORT TOKEN PATH POD-PORT...`: a local port for
// each of the ports, told in kubectl's words. A thread for each connection. Ends with its parent.
#include <charconv>
#include <csignal>
#include <cstdio>
#include <functional>
#include <string>
#include <string_view>
#include <sys/prctl.h>
#include <thread>
#include <vector>

#include "tests/bench/peer.h"
#include "tests/bench/place.h"

namespace {

using namespace kportal;
using namespace kportal::bench;

using Treat = std::function<void(Socket, std::uint16_t)>;

std::uint16_t number(std::string_view text) {
  std::uint16_t value = 0;
  std::from_chars(text.data(), text.data() + text.size(), value);
  return value;
}

void serve(Listening const& listening, std::uint16_t port, Treat const& treat) {
  for (;;) {
    std::thread(
        [&treat, port](Socket local) {
          try {
            treat(std::move(local), port);
          } catch (CannotMeasure const& cannot) {
            std::fprintf(stderr, "%s\n", cannot.what());
          }
        },
        listening.accept())
        .detach();
  }
}

[[noreturn]] void serve_all(std::vector<std::string_view> const& ports, Treat const& treat) {
  std::vector<std::thread> threads;
  for (std::string_view const text : ports) {
    threads.emplace_back([&treat, port = number(text)] {
      Listening const listening;
      std::printf("Forwarding from 127.0.0.1:%d -> %d\n", listening.port(), port);
      std::fflush(stdout);
      serve(listening, port, treat);
    });
  }
  for (std::thread& each : threads) each.join();
  std::abort();  // they never end
}

}  // namespace

int main(int argc, char** argv) {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  std::signal(SIGPIPE, SIG_IGN);
  std::vector<std::string_view> const words(argv + 1, argv + argc);
  if (words.size() >= 2 && words[0] == "relay") {
    serve_all({words.begin() + 1, words.end()}, &relay);
  }
  if (words.size() >= 5 && words[0] == "discard") {
    TunnelPlace place;
    place.api_port = number(words[1]);
    place.token = words[2];
    place.path = words[3];
    serve_all({words.begin() + 4, words.end()}, [&place](Socket local, std::uint16_t port) {
      discard(std::move(local), place, port);
    });
  }
  std::fprintf(stderr, "usage: bench_peer relay|discard ...\n");
  return 2;
}
