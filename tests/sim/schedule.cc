// SPDX-License-Identifier: MIT
#include "tests/sim/schedule.h"

#include <algorithm>
#include <utility>

#include "forward/manager_rules.h"
#include "tests/sim/faults.h"
#include "tests/sim/judge.h"

namespace kportal::sim {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr std::size_t kForwards = 5;
// Of three forwards and of two.
constexpr std::size_t kNetworks = 2;
constexpr std::size_t kLeastKinds = 3;
// Simulated; the faults' time is over after this, if the steps are done.
constexpr Duration kFaultsLeast = seconds(20);
constexpr Duration kFaultsMost = seconds(60);
// All must have ended so long after the stop.
constexpr Duration kEnd = Site::kDrain + seconds(1);
// All forwards are looked at this often, those that a step concerns are with the step.
constexpr Duration kLook = milliseconds(250);

// Steps of one moment; more is a loop without end.
constexpr std::size_t kMaxAtOnce = 20'000;

class Schedule {
 public:
  Schedule(boost::asio::io_context& loop, Coverage& coverage, Options const& options);
  Outcome run();

 private:
  void draw();
  void step();
  void tick_checker();
  void look();
  void look_at(Site& site);
  void act(events::Event const& event);
  void next_fault();
  void next_client();
  bool faults_over() const;
  void recover();
  void stop();
  bool clear(Site& site);
  static Duration waits(Driver const& driver);
  Site& some_site() { return *sites_[stage_.random.below(sites_.size())]; }

  Options const& options_;
  boost::asio::io_context& loop_;
  Stage stage_;
  events::Bus bus_;
  healthcheck::Checker checker_;
  Ledger ledger_;
  Judge judge_;
  events::Subscription facts_;
  std::vector<std::unique_ptr<Ways>> ways_;
  std::vector<std::unique_ptr<Site>> sites_;
  std::vector<Fault const*> kinds_;
  TimePoint faults_end_;
  TimePoint checker_sleeps_until_ = kNever;
  TimePoint next_look_{};
  TimePoint last_step_{};
  std::size_t steps_at_once_ = 0;
  bool clients_come_ = true;
  bool fine_ = false;
  Outcome outcome_;
};

Schedule::Schedule(boost::asio::io_context& loop, Coverage& coverage, Options const& options)
    : options_(options),
      loop_(loop),
      stage_(options.seed, coverage, options.trace),
      bus_(loop.get_executor(), [] { return std::chrono::system_clock::time_point(); }),
      checker_(loop.get_executor(), bus_, [this] { return stage_.time.now(); }),
      judge_(stage_, bus_, checker_),
      facts_(bus_.subscribe([this](events::Event const& event) { act(event); })) {}

Outcome Schedule::run() {
  draw();
  while (!faults_over()) step();
  recover();
  stop();
  return outcome_;
}

void Schedule::draw() {
  Random& random = stage_.random;
  for (std::size_t i = 0; i < kNetworks; ++i) ways_.push_back(std::make_unique<Ways>(stage_));
  for (std::size_t i = 0; i < kForwards; ++i) {
    config::ForwardSpec spec = draw_spec(random, i);
    sites_.push_back(std::make_unique<Site>(stage_, Product{bus_, checker_, ledger_},
                                            *ways_[i % kNetworks], std::move(spec),
                                            draw_reliability(random)));
  }
  std::vector<Fault const*> all;
  for (Fault const& fault : faults()) all.push_back(&fault);
  std::size_t const kinds = kLeastKinds + random.below(5);
  while (kinds_.size() < kinds) {
    std::size_t const at = random.below(all.size());
    kinds_.push_back(all[at]);
    all.erase(all.begin() + static_cast<std::ptrdiff_t>(at));
  }
  faults_end_ = stage_.time.now() + random.between(kFaultsLeast, kFaultsMost);
  next_client();
  stage_.time.after(random.between(milliseconds(0), seconds(3)), [this] { next_fault(); });
}

bool Schedule::faults_over() const {
  return stage_.time.now() >= faults_end_ && outcome_.steps >= options_.steps &&
         outcome_.faults >= std::min(kinds_.size(), options_.max_faults);
}

// Each kind once, then any.
void Schedule::next_fault() {
  if (fine_) return;
  if (outcome_.faults < options_.max_faults) {
    std::size_t const which =
        outcome_.faults < kinds_.size() ? outcome_.faults : stage_.random.below(kinds_.size());
    Fault const& fault = *kinds_[which];
    bool const everywhere = stage_.random.chance(15);
    Site& one = some_site();
    std::vector<Site*> hit;
    for (auto const& site : sites_) {
      bool const beside = fault.of_network && (everywhere || &site->ways() == &one.ways());
      bool const its = everywhere || site.get() == &one;
      if (its) hit.push_back(site.get());
      if (!its && !beside) continue;
      look_at(*site);
      judge_.disturbed(site->id());
    }
    for (Site* const site : hit) {
      stage_.trace("{}: FAULT {}", site->id(), fault.name);
      fault.happen(stage_, *site);
      judge_.disturbed(site->id());
    }
  }
  ++outcome_.faults;
  stage_.time.after(stage_.random.between(milliseconds(5), seconds(4)), [this] { next_fault(); });
}

void Schedule::next_client() {
  if (!clients_come_) return;
  Site& site = some_site();
  std::size_t const burst = stage_.random.chance(5) ? 1 + stage_.random.below(8) : 1;
  for (std::size_t i = 0; i < burst; ++i) {
    site.driver().connect(stage_.next_mark(), draw_client(stage_.random));
  }
  stage_.time.after(stage_.random.between(milliseconds(10), seconds(3)), [this] { next_client(); });
}

void Schedule::act(events::Event const& event) {
  for (auto const& site : sites_) {
    auto const id = forward::forward_to_refresh(event.fact, site->driver().reliability());
    if (id == site->id()) site->driver().refresh();
  }
}

void Schedule::step() {
  stage_.expect(stage_.time.step(), "nothing is due any more");
  ++outcome_.steps;
  steps_at_once_ = stage_.time.now() == last_step_ ? steps_at_once_ + 1 : 0;
  last_step_ = stage_.time.now();
  stage_.require(Promise::time_passes, steps_at_once_ < kMaxAtOnce, "no time passes any more");
  loop_.poll();
  loop_.restart();
  tick_checker();
  if (judge_.has_news()) look();
  if (stage_.time.now() < next_look_) return;
  next_look_ = stage_.time.now() + kLook;
  look();
}

// As Checker::run: it sleeps until something is due, rounded up to its tick.
void Schedule::tick_checker() {
  TimePoint const due = checker_.deadline();
  if (due >= checker_sleeps_until_ || due == kNever) return;
  auto const tick = healthcheck::Checker::kTick;
  TimePoint at = std::max(due, stage_.time.now() + Duration(1));
  if (Duration const past = at.time_since_epoch() % tick; past != Duration()) at += tick - past;
  if (at >= checker_sleeps_until_) return;
  checker_sleeps_until_ = at;
  stage_.time.at(at, [this, at] {
    if (checker_sleeps_until_ != at) return;
    checker_sleeps_until_ = kNever;
    TimePoint const next = checker_.tick();
    stage_.require(Promise::time_passes, next > stage_.time.now(),
                   "the checker is due at once again");
  });
}

void Schedule::look() {
  for (auto const& site : sites_) look_at(*site);
  for (auto const& ways : ways_) ways->check();
}

void Schedule::look_at(Site& site) {
  site.check();
  judge_.look(site.driver(), clear(site), waits(site.driver()));
}

bool Schedule::clear(Site& site) {
  return site.weather().is_clear() && site.pods().all_well() && site.tunnels_work();
}

// What a forward may still wait for after its way is clear.
Duration Schedule::waits(Driver const& driver) {
  config::HealthCheck const& health = driver.spec().health;
  // A dial under way, the longest back-off or what a server asked for, and a port's longest retry.
  Duration const to_tunnel = driver.reliability().dial_timeout + seconds(16) + seconds(10);
  Duration const to_verdict =
      std::max<Duration>(healthcheck::kMaxRetry, 2 * health.interval) + 2 * health.timeout;
  return to_tunnel + to_verdict + seconds(5);
}

void Schedule::recover() {
  fine_ = true;
  stage_.trace("fine weather");
  // Where nobody comes, nobody's bytes are evidence.
  clients_come_ = stage_.random.chance(60);
  for (auto const& site : sites_) {
    clear_up(*site);
    judge_.disturbed(site->id());
  }
  auto const recovered = [this](auto const& site) {
    return clear(*site) && judge_.recovered(site->driver());
  };
  while (!std::ranges::all_of(sites_, recovered)) step();
}

void Schedule::stop() {
  stage_.trace("stop");
  clients_come_ = false;
  look();
  for (auto const& site : sites_) site->stop();
  TimePoint const end = stage_.time.now() + kEnd;
  auto const over = [](auto const& site) { return site->over(); };
  while (stage_.time.now() < end && !std::ranges::all_of(sites_, over)) step();
  stage_.require(Promise::stops, std::ranges::all_of(sites_, over),
                 "not everything ended after the stop");
}

}  // namespace

Outcome run_schedule(boost::asio::io_context& loop, Coverage& coverage, Options const& options) {
  return Schedule(loop, coverage, options).run();
}

}  // namespace kportal::sim
