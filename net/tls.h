// SPDX-License-Identifier: MIT
// TLS over any Transport: tls_connect, tls_accept, and TlsTransport, what they yield. Writes a
// whole chunk at once and reads ahead. Decides nothing about trust (TlsConfig does) and does not
// reconnect.
#pragma once

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/wakeup.h"
#include "net/tls_context.h"
#include "net/transport.h"

namespace kportal::net {

class TlsEngine;

// The peer's certificate, as far as a server asks.
struct TlsPeer {
  std::string common_name;
  std::vector<std::string> organizations;
  bool verified = false;
};

// A certificate, for people.
struct CertificateFacts {
  std::string subject;  // its CN, else its O
  std::string issuer;
  std::vector<std::string> names;  // DNS names and addresses that it is for
  std::chrono::system_clock::time_point not_before;
  std::chrono::system_clock::time_point not_after;
};

// What a handshake showed of the peer, whether it was believed or not.
struct TlsFacts {
  std::string version;  // "TLSv1.3"; empty = it did not get so far
  std::optional<CertificateFacts> certificate;
};

// End of stream is eof with and without close_notify: Kubernetes servers and the proxies before
// them leave it out, and what runs inside (WebSocket, SPDY, HTTP) knows its own end. A read may
// have to answer (an alert, a new key): what it produces leaves with write_now or with the next
// write, never beside one, so a reader never waits for a writer.
class TlsTransport final : public Transport {
 public:
  // A read with nothing pending below holds this much; after a full one, a record, then a
  // whole Chunk.
  static constexpr std::size_t kIdleRead = 512;
  // What reads may produce and the peer does not take, before the read fails with Errc::limit.
  static constexpr std::size_t kMaxUnsent = 256 * 1024;

  // `engine` is past its handshake. For tls_connect and tls_accept.
  TlsTransport(asio::any_io_executor executor, std::unique_ptr<Transport> below,
               std::unique_ptr<TlsEngine> engine);
  ~TlsTransport() override;

  // Errors of TLS are of tls_category(). In TLS 1.3 a server's refusal of the client's certificate
  // shows here, at the first read, not in tls_connect.
  awaitable<IoResult> read_some(MutableBytes into) override;
  awaitable<error_code> write(Chunk chunk) override;
  std::size_t write_now(Bytes bytes) noexcept override;
  // Sends close_notify if that needs no waiting.
  void close() noexcept override;
  std::string end_detail() const override;

  // The session was resumed, not negotiated anew.
  bool resumed() const;
  // What ALPN chose; empty = nothing.
  std::string alpn() const;
  // "TLSv1.3".
  std::string version() const;
  // Nothing if the peer showed no certificate.
  std::optional<TlsPeer> peer() const;
  TlsFacts facts() const;
  TlsEngine& engine() { return *engine_; }

 private:
  awaitable<error_code> fill();
  awaitable<error_code> flush();
  void flush_now() noexcept;

  std::unique_ptr<Transport> below_;
  std::unique_ptr<TlsEngine> engine_;
  Wakeup progress_;  // a read moved on: for a write that must wait for the peer's message
  std::size_t read_size_ = kIdleRead;
  bool writing_ = false;  // a write is pending, or ended midway: nothing may follow it
  bool closed_ = false;
};

// The client's handshake over a connected transport. Verifies `host` (or the context's
// server_name), a DNS name or an IP literal, against the certificate's alternative names; the
// subject's CN does not count. Errors: Errc::tls with the certificate's facts; Errc::timeout;
// Errc::network when the connection fails or ends meanwhile. The text begins with the host. Copies
// what it needs of `context` before it waits. `seen` is filled in any case.
awaitable<Result<std::unique_ptr<TlsTransport>>> tls_connect(std::unique_ptr<Transport> below,
                                                             TlsContext& context, std::string host,
                                                             TimePoint deadline,
                                                             TlsFacts* seen = nullptr);

// The server's handshake.
awaitable<Result<std::unique_ptr<TlsTransport>>> tls_accept(std::unique_ptr<Transport> below,
                                                            TlsContext& context,
                                                            TimePoint deadline);

}  // namespace kportal::net
