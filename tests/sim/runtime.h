// SPDX-License-Identifier: MIT
// Runtime: the server's side of a tunnel: a container runtime that pairs streams, dials the pod's
// port, says why it could not (protocol.md 3.3), and the applications behind it. Owned by its Link.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>

#include "tests/sim/ledger.h"
#include "tests/sim/link.h"
#include "tests/sim/pods.h"

namespace kportal::sim {

class Runtime final : public LinkServer {
 public:
  // It ends a connection this long after the client's end of stream, whatever the application does.
  static constexpr Duration kKnife = std::chrono::seconds(1);

  Runtime(Stage& stage, Link& link, Sandbox& sandbox, Ledger& ledger)
      : stage_(stage),
        link_(link),
        sandbox_(sandbox),
        ledger_(ledger),
        is_old_(stage.random.chance(30)) {}

  void closed() override;
  // Connections that the pod's port accepted, and that carry a user's bytes.
  std::size_t users() const;
  // What was sent for a connection that the port refused lies in the way of every fifth stream
  // (protocol.md 2.6): an old runtime does not read it.
  bool jammed() const { return jammed_.has_value(); }
  void clear() { jammed_.reset(); }

 private:
  enum class App { echo, banner, mute, answer, stream };
  struct Exchange {
    std::string request;
    net::StreamId error = 0;
    net::StreamId data = 0;
    bool accepted = false;
    bool refused = false;
    bool over = false;
    App app = App::echo;
    std::uint64_t number = 0;  // of this application's connection
    std::vector<std::byte> first;
    std::uint64_t id = 0;  // of the user's connection, once known
    std::size_t received = 0;
    std::size_t sent = 0;
    bool fin_came = false;
    bool said_more = false;  // after that
  };

  void stream_opened(net::StreamId stream, net::Headers headers, net::Fin fin) override;
  void stream_replied(net::StreamId, net::Headers) override {}
  void stream_data(net::StreamId stream, Bytes bytes) override;
  void stream_finished(net::StreamId stream) override;
  void stream_reset(net::StreamId stream, net::RstStatus status) override;

  void dial_port(net::StreamId data);
  void accept(Exchange& exchange);
  void refuse(Exchange& exchange, std::string const& why);
  void fail(Exchange& exchange, std::string const& why);
  void say(Exchange& exchange, std::size_t size);
  void keep_saying(net::StreamId data);
  void note(Exchange& exchange, Bytes bytes);
  void end_cleanly(net::StreamId data);
  bool is_jammed(net::StreamId stream) const { return jammed_ == stream % kWorkers; }
  void jam_if_unread(Exchange const& exchange, std::size_t bytes);
  Exchange* find(net::StreamId data);

  Stage& stage_;
  Link& link_;
  Sandbox& sandbox_;
  Ledger& ledger_;
  std::map<net::StreamId, Exchange> exchanges_;  // by data stream
  std::map<std::string, net::StreamId> errors_;  // error streams that wait for their data stream
  std::set<std::string> waiting_;                // behind what nobody reads, for ever
  bool over_ = false;
  bool is_old_;
  std::optional<net::StreamId> jammed_;
  // Streams share these by their ids.
  static constexpr net::StreamId kWorkers = 5;
  static constexpr std::size_t kPiece = 64;
};

}  // namespace kportal::sim
