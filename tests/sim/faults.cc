// SPDX-License-Identifier: MIT
#include "tests/sim/faults.h"

#include <utility>

#include <boost/asio/error.hpp>

namespace kportal::sim {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

Duration while_(Stage& stage) {
  return stage.random.chance(20) ? stage.random.between(seconds(10), seconds(45))
                                 : stage.random.between(milliseconds(10), seconds(8));
}

Link* some_link(Stage& stage, Site& site) {
  auto const links = site.driver().links();
  return links.empty() ? nullptr : links[stage.random.below(links.size())];
}

// Pods

void delete_pod(Stage& stage, Site& site) {
  site.pods().remove(stage.random.below(3), stage.random.between(milliseconds(0), seconds(4)),
                     stage.random.between(milliseconds(0), seconds(3)));
}

void delete_all_pods(Stage& stage, Site& site) {
  Duration const back = while_(stage);
  for (std::size_t i = 0; i < Pods::kCount; ++i) {
    site.pods().remove(i, stage.random.between(milliseconds(0), seconds(2)), back);
  }
}

void unready(Stage& stage, Site& site) {
  std::size_t const which = stage.random.below(3);
  site.pods().set_ready(which, false);
  stage.time.after(while_(stage), [&site, which] { site.pods().set_ready(which, true); });
}

void all_unready(Stage& stage, Site& site) {
  for (std::size_t i = 0; i < Pods::kCount; ++i) site.pods().set_ready(i, false);
  stage.time.after(while_(stage), [&site] {
    for (std::size_t i = 0; i < Pods::kCount; ++i) site.pods().set_ready(i, true);
  });
}

void restart(Stage& stage, Site& site) {
  std::size_t const which = stage.random.below(3);
  site.pods().restart(which);
  if (!stage.random.chance(50)) return;
  site.pods().set_port(which, Port::refuses);
  stage.time.after(while_(stage), [&site, which] { site.pods().set_port(which, Port::accepts); });
}

template <Port port>
void port_is(Stage& stage, Site& site) {
  bool const all = stage.random.chance(50);
  std::size_t const first = stage.random.below(3);
  for (std::size_t i = 0; i < Pods::kCount; ++i) {
    if (all || i == first) site.pods().set_port(i, port);
  }
  stage.time.after(while_(stage), [&site] {
    for (std::size_t i = 0; i < Pods::kCount; ++i) site.pods().set_port(i, Port::accepts);
  });
}

void lose_service_port(Stage& stage, Site& site) {
  site.pods().set_service_port(false);
  stage.time.after(while_(stage), [&site] { site.pods().set_service_port(true); });
}

void become_unsupported(Stage& stage, Site& site) {
  site.pods().set_supported(false);
  stage.time.after(while_(stage), [&site] { site.pods().set_supported(true); });
}

// Tunnels

void cut(Stage& stage, Site& site) {
  Link* const link = some_link(stage, site);
  if (link == nullptr) return;
  link->cut(stage.random.chance(50) ? make_error_code(boost::asio::error::connection_reset)
                                    : make_error_code(boost::asio::error::eof));
}

void cut_all(Stage&, Site& site) {
  site.cut_all();
}

void flap(Stage& stage, Site& site) {
  Duration const pause = stage.random.between(milliseconds(50), milliseconds(400));
  for (int i = 0; i < 30; ++i) {
    stage.time.after(pause * i, [&stage, &site] { cut_all(stage, site); });
  }
}

void go_away(Stage& stage, Site& site) {
  if (Link* const link = some_link(stage, site)) link->goaway();
}

void silence(Stage& stage, Site& site) {
  Link* const link = some_link(stage, site);
  if (link == nullptr) return;
  link->set_silent(true);
  stage.time.after(while_(stage), [link] { link->set_silent(false); });
}

void delay(Stage& stage, Site& site) {
  Link* const link = some_link(stage, site);
  if (link == nullptr) return;
  link->set_delay(stage.random.between(milliseconds(100), seconds(4)));
  stage.time.after(while_(stage), [link] { link->set_delay({}); });
}

void block(Stage& stage, Site& site) {
  Link* const link = some_link(stage, site);
  if (link == nullptr) return;
  link->block_writes(true);
  stage.time.after(while_(stage), [link] { link->block_writes(false); });
}

void blackhole(Stage& stage, Site& site) {
  site.network().drop();
  stage.time.after(while_(stage), [&site] { site.network().heal(); });
}

void switch_off(Stage& stage, Site& site) {
  site.network().close();
  stage.time.after(while_(stage), [&site] { site.network().heal(); });
}

void change_network(Stage&, Site& site) {
  site.ways().network_changed();
}

void roam(Stage& stage, Site& site) {
  blackhole(stage, site);
  stage.time.after(while_(stage), [&site] { site.ways().network_changed(); });
}

// Dials

void hang(Stage& stage, Site& site) {
  bool& hangs = stage.random.chance(50) ? site.weather().dial_hangs : site.weather().dial_is_mute;
  hangs = true;
  cut_all(stage, site);
  stage.time.after(while_(stage), [&hangs] { hangs = false; });
}

Error draw_refusal(Random& random) {
  struct Refusal {
    Errc code;
    char const* text;
  };
  Refusal const refusal = random.pick<Refusal>({{Errc::network, "connection refused"},
                                                {Errc::tls, "certificate has expired"},
                                                {Errc::unauthorized, "401"},
                                                {Errc::auth_plugin, "the plugin failed"},
                                                {Errc::forbidden, "403"},
                                                {Errc::not_found, "404"},
                                                {Errc::server, "503"},
                                                {Errc::server, "429"},
                                                {Errc::protocol, "no HTTP"},
                                                {Errc::upgrade_refused, "200"}});
  Error error(refusal.code, refusal.text);
  if (error.code == Errc::server && random.chance(60)) {
    error.retry_after = seconds(random.below(15));
  }
  return error;
}

void refuse(Stage& stage, Site& site) {
  site.weather().dial_error = draw_refusal(stage.random);
  if (stage.random.chance(70)) cut_all(stage, site);
  stage.time.after(while_(stage), [&site] { site.weather().dial_error.reset(); });
}

void slow_dial(Stage& stage, Site& site) {
  site.weather().dial_time = stage.random.between(milliseconds(50), seconds(3));
  stage.time.after(while_(stage), [&site] { site.weather().dial_time = milliseconds(20); });
}

// Watch

void late_watch(Stage& stage, Site& site) {
  site.weather().watch = Weather::Watch::late;
  site.weather().watch_delay = stage.random.between(milliseconds(200), seconds(10));
  delete_pod(stage, site);
  stage.time.after(while_(stage), [&site] {
    site.weather().watch = Weather::Watch::on_time;
    site.pods().refresh();
  });
}

void lost_watch(Stage& stage, Site& site) {
  site.weather().watch = Weather::Watch::lost;
  delete_pod(stage, site);
  stage.time.after(while_(stage), [&site] {
    site.weather().watch = Weather::Watch::on_time;
    site.pods().refresh();
  });
}

void refuse_lists(Stage& stage, Site& site) {
  site.weather().list_error = draw_refusal(stage.random);
  site.driver().access_changed(true);
  stage.time.after(while_(stage), [&site] {
    site.weather().list_error.reset();
    site.pods().refresh();
  });
}

// The user

void refresh(Stage&, Site& site) {
  site.driver().refresh();
}

void edit_kubeconfig(Stage& stage, Site& site) {
  site.driver().access_changed(stage.random.chance(60));
}

void reload(Stage& stage, Site& site) {
  config::ForwardSpec spec = site.driver().spec();
  spec.health = draw_health(stage.random);
  spec.disabled = stage.random.chance(20);
  if (stage.random.chance(40)) spec.half_close = draw_half_close(stage.random);
  if (stage.random.chance(40)) spec.balance = draw_balance(stage.random);
  site.reload(std::move(spec), draw_reliability(stage.random));
}

void reload_badly(Stage& stage, Site& site) {
  site.weather().setup_error =
      stage.random.pick<Error>({Error(Errc::port_in_use, "address in use"),
                                Error(Errc::kubeconfig, "kubeconfig: no such file"),
                                Error(Errc::no_such_context, "no such context")});
  config::ForwardSpec spec = site.driver().spec();
  spec.disabled = false;
  bool const passes = spec.half_close == config::HalfClose::pass;
  spec.half_close = passes ? config::HalfClose::hold : config::HalfClose::pass;
  site.reload(std::move(spec), draw_reliability(stage.random));
  stage.time.after(while_(stage), [&site] { site.weather().setup_error.reset(); });
}

void new_settings(Stage& stage, Site& site) {
  site.driver().update(draw_health(stage.random), draw_reliability(stage.random));
}

void stand_still(Stage& stage, Site&) {
  stage.time.stand_still(stage.random.between(milliseconds(60), seconds(5)));
}

// More at once than may wait, if there is no tunnel; a heavy one, so it is rare.
void crowd(Stage& stage, Site& site) {
  if (stage.random.chance(50)) site.cut_all();
  std::size_t const clients = stage.random.chance(3) ? forward::TunnelPool::kMaxHeld + 10 : 30;
  ClientPlan plan;
  plan.end = ClientPlan::End::resets;
  plan.until_end = stage.random.between(milliseconds(1), seconds(2));
  for (std::size_t i = 0; i < clients; ++i) site.driver().connect(stage.next_mark(), plan);
  site.check();
}

void hang_up(Stage&, Site& site) {
  for (Connection* const connection : site.driver().open_connections()) connection->hang_up();
}

constexpr Fault kFaults[] = {
    {"pod deleted", delete_pod},
    {"all pods deleted", delete_all_pods},
    {"pod not ready", unready},
    {"no pod ready", all_unready},
    {"container restarts", restart},
    {"port refuses", port_is<Port::refuses>},
    {"port is mute", port_is<Port::mute>},
    {"port resets", port_is<Port::resets>},
    {"service port lost", lose_service_port},
    {"service of another type", become_unsupported},
    {"tunnel cut", cut},
    {"all tunnels cut", cut_all},
    {"tunnels flap", flap},
    {"GOAWAY", go_away},
    {"tunnel silent", silence},
    {"tunnel late", delay},
    {"writes blocked", block},
    {"blackhole", blackhole, true},
    {"server switched off", switch_off, true},
    {"network changes", change_network, true},
    {"network lost, then another", roam, true},
    {"dials hang", hang},
    {"dials refused", refuse},
    {"dials slow", slow_dial},
    {"watch late", late_watch},
    {"watch lost", lost_watch},
    {"lists refused", refuse_lists},
    {"refresh", refresh},
    {"kubeconfig edited", edit_kubeconfig},
    {"reload", reload},
    {"reload that cannot be set up", reload_badly},
    {"settings changed", new_settings},
    {"loop stands still", stand_still},
    {"crowd of clients", crowd},
    {"clients hang up", hang_up},
};

}  // namespace

std::span<Fault const> faults() {
  return kFaults;
}

void clear_up(Site& site) {
  site.weather() = Weather(site.network());
  site.network().heal();
  for (Link* const link : site.driver().links()) {
    link->set_delay({});
    link->set_silent(false);
    link->block_writes(false);
  }
  site.driver().clear_tunnels();
  site.pods().heal();
  site.pods().refresh();
}

}  // namespace kportal::sim
