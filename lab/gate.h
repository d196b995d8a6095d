// SPDX-License-Identifier: MIT
// Gate: the server's end of one TCP connection under a script: held back in one direction or both,
// as a frozen peer is, or cut. GateControl is the script's side; it may outlive the Gate.
#pragma once

#include <memory>

#include <boost/asio/ip/tcp.hpp>

#include "base/wakeup.h"
#include "net/tcp.h"
#include "net/transport.h"

namespace kportal::lab {

class Gate;

class GateControl {
 public:
  explicit GateControl(asio::any_io_executor executor);

  // While held nothing is read from the client, or nothing is written to it.
  void hold(bool reads, bool writes);
  // The whole server is frozen; apart from hold().
  void freeze(bool frozen);
  // RST, and all that is pending fails.
  void cut() noexcept;
  // FIN without a word.
  void close() noexcept;
  bool closed() const { return closed_; }

 private:
  friend class Gate;
  bool reads_held() const { return (frozen_ || hold_reads_) && !closed_; }
  bool writes_held() const { return (frozen_ || hold_writes_) && !closed_; }
  void wake();

  bool frozen_ = false;
  bool hold_reads_ = false;
  bool hold_writes_ = false;
  bool closed_ = false;
  Wakeup reads_;
  Wakeup writes_;
  Gate* gate_ = nullptr;
};

class Gate final : public net::Transport {
 public:
  Gate(asio::ip::tcp::socket socket, std::shared_ptr<GateControl> control);
  ~Gate() override;

  awaitable<net::IoResult> read_some(MutableBytes into) override;
  awaitable<error_code> write(Chunk chunk) override;
  std::size_t write_now(Bytes bytes) noexcept override;
  void close() noexcept override;

 private:
  friend class GateControl;
  net::TcpTransport tcp_;
  std::shared_ptr<GateControl> control_;
};

}  // namespace kportal::lab
