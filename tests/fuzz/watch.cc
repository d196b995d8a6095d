// SPDX-License-Identifier: MIT
// Fuzzer of a watched list: a server that answers LIST and WATCH with any bytes and any errors,
// under a simulated clock. However it behaves, it is not asked without end, and versions are those
// that it gave.
#include <algorithm>
#include <deque>

#include "k8s/json_splitter.h"
#include "k8s/objects.h"
#include "k8s/reflector_machine.h"
#include "tests/fuzz/fuzz.h"

namespace kportal::k8s {
namespace {

using namespace std::chrono_literals;
using fuzz::require;
using Kind = ReflectorMachine::Step::Kind;

constexpr int kMaxSteps = 400;
// Beginnings of a list or a watch: at most so many in ten seconds, but for those that somebody
// asked for.
constexpr std::size_t kMaxAsked = 24;

Error error_of(std::uint8_t choice) {
  static constexpr Errc kCodes[] = {Errc::network,     Errc::timeout,   Errc::gone,
                                    Errc::server,      Errc::forbidden, Errc::unauthorized,
                                    Errc::not_found,   Errc::limit,     Errc::protocol,
                                    Errc::auth_plugin, Errc::tls};
  Error error(kCodes[choice % std::size(kCodes)], "no");
  if (choice >= 200) error.retry_after = std::chrono::seconds(choice - 200);
  return error;
}

class World {
 public:
  explicit World(fuzz::Input input) : input_(input), machine_(ReflectorOptions()) {}

  void run() {
    for (int i = 0; i < kMaxSteps && !input_.empty(); ++i) {
      auto const step = machine_.next(now_);
      if (step.kind == Kind::wait) {
        require(step.until > now_);
        require(step.until - now_ <= 2h);
        now_ = step.until;
        if (input_.byte() == 255) refresh();
      } else if (step.kind == Kind::list) {
        list(step);
      } else {
        watch(step);
      }
    }
  }

 private:
  void count_request() {
    while (!asked_.empty() && now_ - asked_.front() > 10s) asked_.pop_front();
    asked_.push_back(now_);
    require(asked_.size() <= kMaxAsked + 8 * refreshes_);
  }

  void refresh() {
    ++refreshes_;
    machine_.refresh();
  }

  void list(ReflectorMachine::Step const& step) {
    if (step.continue_token.empty()) {
      count_request();
    } else {
      require(step.continue_token == token_);
    }
    std::uint8_t const choice = input_.byte();
    now_ += std::chrono::milliseconds(input_.byte());
    if (choice % 16 == 15) refresh();
    if (choice % 2 == 0) return machine_.list_failed(error_of(input_.byte()), now_);
    token_ = choice % 4 == 1 ? "" : std::to_string(choice);
    version_ = std::to_string(input_.byte());
    bool const complete = machine_.page(version_, token_, now_);
    require(!complete || token_.empty());
  }

  void watch(ReflectorMachine::Step const& step) {
    count_request();
    require(step.resource_version == version_ && step.timeout >= 240s && step.timeout <= 480s);
    std::uint8_t const choice = input_.byte();
    if (choice % 2 == 0) {
      (void)machine_.watch_refused(error_of(input_.byte()), now_);
      return;
    }
    if (choice % 16 == 15) refresh();
    if (!machine_.watch_opened(now_)) return;
    require(machine_.silent_at() > now_);
    auto const error = read_events();
    (void)machine_.watch_ended(error, now_);
  }

  // Nothing at an orderly end.
  std::optional<Error> read_events() {
    JsonSplitter splitter(kPodEventRule);
    for (int i = 0; i < 100; ++i) {
      std::uint8_t const size = input_.byte();
      if (size == 0) return std::nullopt;
      if (size == 255) return error_of(input_.byte());
      if (size == 254) return Error(Errc::timeout, "silent");
      now_ += std::chrono::milliseconds(size * 10);
      splitter.append(std::string(input_.text(size)));
      if (auto error = take_events(splitter)) return error;
    }
    return std::nullopt;
  }

  std::optional<Error> take_events(JsonSplitter& splitter) {
    for (;;) {
      auto const piece = splitter.next();
      if (!piece) return piece.error();
      if (!*piece) return std::nullopt;
      auto const event = parse_pod_event((*piece)->text);
      if (!event) return event.error();
      if (event->type == WatchType::error)
        return error_of(static_cast<std::uint8_t>(event->status.code));
      version_ = event->resource_version;
      machine_.event(version_, now_);
    }
  }

  fuzz::Input input_;
  ReflectorMachine machine_;
  TimePoint now_{1h};
  std::deque<TimePoint> asked_;
  std::size_t refreshes_ = 0;
  std::string token_;
  std::string version_;
};

}  // namespace
}  // namespace kportal::k8s

extern "C" int LLVMFuzzerTestOneInput(std::uint8_t const* data, std::size_t size) {
  kportal::fuzz::Budget const budget;
  kportal::k8s::World(kportal::fuzz::Input(data, size)).run();
  return 0;
}
