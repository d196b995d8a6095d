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
  for (Link* const link : site.driver().links()) {
    link->cut(make_error_code(boost::asio::error::connection_reset));
  }
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
  site.weather().blackhole = true;
  stage.time.after(while_(stage), [&site] {
    site.weather().blackhole = false;
    site.driver().network_back();
  });
}

// Dials

void hang(Stage& stage, Site& site) {
  site.weather().dial_hangs = true;
  cut_all(stage, site);
  stage.time.after(while_(stage), [&site] { site.weather().dial_hangs = false; });
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
  site.replace(std::move(spec), draw_reliability(stage.random));
}

void reload_badly(Stage& stage, Site& site) {
  site.weather().setup_error =
      stage.random.pick<Error>({Error(Errc::port_in_use, "address in use"),
                                Error(Errc::kubeconfig, "kubeconfig: no such file"),
                                Error(Errc::no_such_context, "no such context")});
  reload(stage, site);
  stage.time.after(while_(stage), [&site] { site.weather().setup_error.reset(); });
}

void new_settings(Stage& stage, Site& site) {
  site.driver().update(draw_health(stage.random), draw_reliability(stage.random));
}

void stand_still(Stage& stage, Site&) {
  stage.time.stand_still(stage.random.between(milliseconds(60), seconds(5)));
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
    {"blackhole", blackhole},
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
    {"clients hang up", hang_up},
};

}  // namespace

std::span<Fault const> faults() {
  return kFaults;
}

void clear_up(Site& site) {
  site.weather() = Weather();
  for (Link* const link : site.driver().links()) {
    link->set_delay({});
    link->set_silent(false);
    link->block_writes(false);
  }
  site.driver().network_back();
  site.pods().heal();
  site.pods().refresh();
}

}  // namespace kportal::sim
