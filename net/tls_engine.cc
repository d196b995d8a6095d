// SPDX-License-Identifier: MIT
#include "net/tls_engine.h"

#include <algorithm>
#include <cassert>
#include <map>
#include <new>

#include <boost/asio/error.hpp>
#include <fmt/format.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/x509_vfy.h>
#include <openssl/x509v3.h>

#include "net/tls_verification.h"

namespace kportal::net {
namespace {

// Hosts of which a context remembers a session.
constexpr std::size_t kMaxSessions = 64;
constexpr std::size_t kRecord = 16 * 1024;
// Header, tag and padding of a record; a guess that is too small costs a further chunk.
constexpr std::size_t kRecordOverhead = 64;
constexpr std::size_t kSmallOutput = 2 * 1024;

struct FreeSession {
  void operator()(SSL_SESSION* session) const noexcept { ::SSL_SESSION_free(session); }
};
struct FreeX509 {
  void operator()(X509* certificate) const noexcept { ::X509_free(certificate); }
};

using Session = std::unique_ptr<SSL_SESSION, FreeSession>;

// What hangs on an SSL_CTX and goes with it.
struct ContextState {
  std::map<std::string, Session, std::less<>> sessions;
  std::string alpn;
};

void free_context_state(void*, void* state, CRYPTO_EX_DATA*, int, long, void*) {
  delete static_cast<ContextState*>(state);
}

int context_index() {
  static int const index =
      ::SSL_CTX_get_ex_new_index(0, nullptr, nullptr, nullptr, &free_context_state);
  return index;
}

ContextState& add_state(SSL_CTX* context) {
  auto* const state = new ContextState;
  ::SSL_CTX_set_ex_data(context, context_index(), state);
  return *state;
}

ContextState* state_of(SSL const* ssl) {
  return static_cast<ContextState*>(::SSL_CTX_get_ex_data(::SSL_get_SSL_CTX(ssl), context_index()));
}

TlsEngine* engine_of(SSL* ssl) {
  return static_cast<TlsEngine*>(SSL_get_app_data(ssl));
}

int select_alpn(SSL*, unsigned char const** chosen, unsigned char* length,
                unsigned char const* offered, unsigned offered_length, void* state) {
  auto const& names = static_cast<ContextState*>(state)->alpn;
  unsigned char* selected = nullptr;
  int const result = ::SSL_select_next_proto(
      &selected, length, reinterpret_cast<unsigned char const*>(names.data()),
      static_cast<unsigned>(names.size()), offered, offered_length);
  *chosen = selected;
  return result == OPENSSL_NPN_NEGOTIATED ? SSL_TLSEXT_ERR_OK : SSL_TLSEXT_ERR_ALERT_FATAL;
}

Error tls_unavailable() {
  ::ERR_clear_error();
  return {Errc::tls, "TLS cannot be set up"};
}

}  // namespace

struct TlsEngine::BioCalls {
  static int write(BIO* bio, char const* data, std::size_t size, std::size_t* written) {
    try {
      engine(bio)->append_output(as_bytes(std::string_view(data, size)));
    } catch (std::bad_alloc const&) {  // not through OpenSSL
      return 0;
    }
    *written = size;
    return 1;
  }
  static int read(BIO* bio, char* data, std::size_t size, std::size_t* read) {
    BIO_clear_retry_flags(bio);
    *read = engine(bio)->take_input(std::as_writable_bytes(std::span<char>(data, size)));
    if (*read != 0) return 1;
    BIO_set_retry_read(bio);
    return 0;
  }
  static long control(BIO*, int command, long, void*) { return command == BIO_CTRL_FLUSH ? 1 : 0; }
  static TlsEngine* engine(BIO* bio) { return static_cast<TlsEngine*>(::BIO_get_data(bio)); }

  // Never freed: it is as constant as code.
  static BIO_METHOD* method() {
    static BIO_METHOD* const instance = [] {
      BIO_METHOD* const made =
          ::BIO_meth_new(::BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "kportal");
      ::BIO_meth_set_write_ex(made, &write);
      ::BIO_meth_set_read_ex(made, &read);
      ::BIO_meth_set_ctrl(made, &control);
      return made;
    }();
    return instance;
  }
};

TlsEngine::TlsEngine(SSL* ssl) : ssl_(ssl) {}

TlsEngine::~TlsEngine() {
  // Else OpenSSL takes the end for a failure and spoils the session, which the next connection
  // resumes.
  bool const sound = !error_ || error_ == asio::error::eof;
  if (sound && native() != nullptr) {
    ::SSL_set_shutdown(native(), SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
  }
}

bool TlsEngine::attach() {
  BIO* const bio = ::BIO_new(BioCalls::method());
  if (bio == nullptr) return false;
  ::BIO_set_data(bio, this);
  ::BIO_set_init(bio, 1);
  ::SSL_set_bio(native(), bio, bio);
  SSL_set_app_data(native(), this);
  return true;
}

Result<std::unique_ptr<TlsEngine>> TlsEngine::client(TlsContext const& context,
                                                     std::string const& host) {
  std::unique_ptr<TlsEngine> engine(new TlsEngine(::SSL_new(context.native())));
  SSL* const ssl = engine->native();
  if (ssl == nullptr || !engine->attach()) return tls_unavailable();
  engine->trusted_ = context.trusted();
  std::string& name = engine->name_;
  name = context.server_name().empty() ? host : context.server_name();
  bool is_address = false;
  bool named = expect_name(::SSL_get0_param(ssl), name, is_address);
  if (named && !is_address) {
    named =
        ::SSL_ctrl(ssl, SSL_CTRL_SET_TLSEXT_HOSTNAME, TLSEXT_NAMETYPE_host_name, name.data()) == 1;
  }
  ::ERR_clear_error();
  if (!named) return Error(Errc::tls, "not a name that a certificate can have");
  ::SSL_set_connect_state(ssl);
  engine->resume();
  return engine;
}

Result<std::unique_ptr<TlsEngine>> TlsEngine::server(TlsContext const& context) {
  std::unique_ptr<TlsEngine> engine(new TlsEngine(::SSL_new(context.native())));
  if (engine->native() == nullptr || !engine->attach()) return tls_unavailable();
  ::SSL_set_accept_state(engine->native());
  return engine;
}

TlsEngine::Step TlsEngine::handshake() {
  ::ERR_clear_error();
  int const result = ::SSL_do_handshake(native());
  if (result == 1) return Step::done;
  error_ = error_of(result);
  if (!error_) return Step::wants_input;
  if (auto* const state = state_of(native())) state->sessions.erase(name_);
  return Step::failed;
}

Error TlsEngine::handshake_error() const {
  if (!verification_.empty()) return {Errc::tls, fmt::format("TLS: {}", verification_)};
  if (error_ == asio::error::eof) {
    return {Errc::network, "the peer ended the connection during the TLS handshake"};
  }
  return {Errc::tls, error_.message()};
}

void TlsEngine::feed(Chunk input) {
  assert(hungry());
  input_ = std::move(input);
  input_at_ = 0;
}

std::size_t TlsEngine::take_input(MutableBytes into) {
  Bytes const rest = input_.data().subspan(input_at_);
  std::size_t const size = std::min(rest.size(), into.size());
  std::copy_n(rest.begin(), size, into.begin());
  input_at_ += size;
  if (hungry()) feed(Chunk());  // idle connections hold no buffer
  return size;
}

IoResult TlsEngine::decrypt(MutableBytes into) {
  assert(!into.empty());
  std::size_t total = 0;
  while (!error_ && total < into.size()) {
    ::ERR_clear_error();
    std::size_t size = 0;
    MutableBytes const rest = into.subspan(total);
    int const result = ::SSL_read_ex(native(), rest.data(), rest.size(), &size);
    if (result != 1) {
      error_ = error_of(result);
      break;
    }
    total += size;
  }
  if (total != 0) return IoResult(error_code(), total);
  return IoResult(error_, 0);
}

error_code TlsEngine::encrypt(Bytes bytes) {
  if (error_ && error_ != asio::error::eof) return error_;
  std::size_t const records = bytes.size() / kRecord + 1;
  try {
    output_.emplace_back(std::max(bytes.size() + records * kRecordOverhead, kSmallOutput));
  } catch (std::bad_alloc const&) {
    return make_error_code(boost::system::errc::not_enough_memory);
  }
  ::ERR_clear_error();
  std::size_t size = 0;
  int const result = ::SSL_write_ex(native(), bytes.data(), bytes.size(), &size);
  error_code error;
  if (result != 1) {
    error = error_of(result);
    if (!error) error = make_error_code(boost::system::errc::resource_unavailable_try_again);
  }
  if (output_.back().empty()) output_.pop_back();
  return error;
}

void TlsEngine::say_goodbye() {
  if (error_ && error_ != asio::error::eof) return;
  ::ERR_clear_error();
  ::SSL_shutdown(native());
  ::ERR_clear_error();
}

void TlsEngine::append_output(Bytes bytes) {
  if (output_.empty() || output_.back().room().size() < bytes.size()) {
    output_.emplace_back(std::max(bytes.size(), kSmallOutput));
  }
  output_.back().append(bytes);
}

void TlsEngine::sent(std::size_t size) {
  output_at_ += size;
  if (output_at_ < output_.front().size()) return;
  output_.erase(output_.begin());
  output_at_ = 0;
}

Chunk TlsEngine::take_output() {
  Chunk next = output_at_ == 0 ? std::move(output_.front()) : Chunk::copy_of(output());
  output_.erase(output_.begin());
  output_at_ = 0;
  return next;
}

std::size_t TlsEngine::unsent() const {
  std::size_t size = 0;
  for (Chunk const& chunk : output_) size += chunk.size();
  return size - output_at_;
}

error_code TlsEngine::error_of(int returned) const {
  switch (::SSL_get_error(native(), returned)) {
    case SSL_ERROR_WANT_READ:
      return {};
    case SSL_ERROR_ZERO_RETURN:
      return asio::error::eof;
    default:
      break;
  }
  auto const code = ::ERR_peek_error();
  int const reason = ERR_GET_LIB(code) == ERR_LIB_SSL ? ERR_GET_REASON(code) : 0;
  return {reason != 0 ? reason : SSL_R_SSL_HANDSHAKE_FAILURE, tls_category()};
}

bool TlsEngine::resumed() const {
  return ::SSL_session_reused(native()) == 1;
}

std::string TlsEngine::alpn() const {
  unsigned char const* name = nullptr;
  unsigned length = 0;
  ::SSL_get0_alpn_selected(native(), &name, &length);
  return {reinterpret_cast<char const*>(name), length};
}

std::string TlsEngine::version() const {
  return ::SSL_get_version(native());
}

std::optional<TlsPeer> TlsEngine::peer() const {
  std::unique_ptr<X509, FreeX509> const certificate(::SSL_get1_peer_certificate(native()));
  if (!certificate) return std::nullopt;
  TlsPeer peer = peer_of(certificate.get());
  peer.verified = ::SSL_get_verify_result(native()) == X509_V_OK;
  return peer;
}

// OpenSSL forgets a certificate that it refuses.
TlsFacts TlsEngine::facts() const {
  TlsFacts facts;
  facts.certificate = refused_;
  std::unique_ptr<X509, FreeX509> const certificate(::SSL_get1_peer_certificate(native()));
  if (certificate) facts.certificate = facts_of(certificate.get());
  if (facts.certificate) facts.version = version();
  return facts;
}

void TlsEngine::keep_sessions(SSL_CTX* context) {
  add_state(context);
  ::SSL_CTX_set_session_cache_mode(context,
                                   SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL_STORE);
  ::SSL_CTX_sess_set_new_cb(context, &keep_session);
}

void TlsEngine::choose_alpn(SSL_CTX* context, std::string names) {
  ContextState& state = add_state(context);
  state.alpn = std::move(names);
  ::SSL_CTX_set_alpn_select_cb(context, &select_alpn, &state);
}

// The newest session of a host replaces the one before. Returns 1: the reference is ours now.
int TlsEngine::keep_session(SSL* ssl, SSL_SESSION* session) {
  auto& sessions = state_of(ssl)->sessions;
  auto const& name = engine_of(ssl)->name_;
  if (sessions.size() == kMaxSessions && !sessions.contains(name)) sessions.erase(sessions.begin());
  sessions[name].reset(session);
  return 1;
}

void TlsEngine::resume() {
  auto& sessions = state_of(native())->sessions;
  auto const at = sessions.find(name_);
  if (at == sessions.end()) return;
  // Resuming verifies nothing anew.
  X509 const* const certificate = ::SSL_SESSION_get0_peer(at->second.get());
  bool const expired =
      certificate != nullptr && ::X509_cmp_current_time(::X509_get0_notAfter(certificate)) < 0;
  if (expired) {
    sessions.erase(at);
    return;
  }
  // A copy: OpenSSL takes a TLS 1.3 session that was resumed once for used up, but servers do not,
  // and many connections that begin together have but the one.
  Session const copy(::SSL_SESSION_dup(at->second.get()));
  if (copy) ::SSL_set_session(native(), copy.get());
}

int TlsEngine::note_verification(int verified, X509_STORE_CTX* verification) {
  auto* const ssl = static_cast<SSL*>(
      ::X509_STORE_CTX_get_ex_data(verification, ::SSL_get_ex_data_X509_STORE_CTX_idx()));
  auto* const engine = engine_of(ssl);
  if (verified == 0 && engine->verification_.empty()) {
    engine->verification_ = describe_failure(verification, engine->name_, engine->trusted_);
    X509* const refused = ::X509_STORE_CTX_get0_cert(verification);
    if (refused != nullptr) engine->refused_ = facts_of(refused);
  }
  return verified;
}

}  // namespace kportal::net
