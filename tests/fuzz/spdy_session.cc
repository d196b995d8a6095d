// SPDX-License-Identifier: MIT
// Fuzzer of SpdySession in both roles: a peer that sends frames and bytes of any kind, and a user
// that opens, answers, sends, resets and reads in any order, also from inside an event. What is
// told must be consistent, what is sent must be what a peer takes, and how the bytes were cut must
// not matter.
#include "net/spdy_session.h"

#include <algorithm>
#include <map>
#include <set>

#include "tests/fuzz/fuzz.h"

namespace kportal::net {
namespace {

using namespace std::chrono_literals;
using fuzz::require;

constexpr int kMaxSteps = 300;

enum class Cut : bool { no, yes };

// What may still come of a stream, and what it told.
struct Told {
  bool finished = false;
  bool over = false;
};

// What has been sent of a stream.
struct Sent {
  bool ended = false;
  bool reset = false;
};

// Reads what the session sends, as its peer.
class Peer {
 public:
  explicit Peer(SpdyRole role) : role_(role) {}

  void take(Bytes bytes) {
    for (;;) {
      std::optional<Frame> frame;
      require(!parser_.next(bytes, frame));
      if (!frame) return;
      take_frame(*frame);
    }
  }
  std::size_t frames() const { return frames_; }

 private:
  void take_frame(Frame const& frame) {
    ++frames_;
    if (frame.type == FrameType::ping || frame.type == FrameType::goaway) return;
    require(frame.stream != 0);
    Sent& sent = streams_[frame.stream];
    if (frame.type == FrameType::rst_stream) {
      // That is to a peer that takes an id twice: the first stream of that id goes on.
      if (frame.value != static_cast<std::uint32_t>(RstStatus::protocol_error)) sent.reset = true;
      return;
    }
    require(!sent.reset);
    if (frame.type == FrameType::data) {
      require(!sent.ended);
      sent.ended = frame.fin() && frame.last;
      return;
    }
    bool const syn = frame.type == FrameType::syn_stream;
    require(syn || frame.type == FrameType::syn_reply);
    bool const own_id = (frame.stream & 1) == (role_ == SpdyRole::client ? 1U : 0U);
    require(own_id || !syn);
    // The peer may take an id of this side's; then this side may answer, but to its own never.
    require(syn ? opened_.insert(frame.stream).second : !opened_.contains(frame.stream));
    Headers headers;
    require(!decoder_.decode(frame.bytes, syn ? HeaderKind::request : HeaderKind::reply, headers));
    sent.ended = frame.fin();
  }

  SpdyRole role_;
  FrameParser parser_;
  HeaderDecoder decoder_;
  std::map<StreamId, Sent> streams_;
  std::set<StreamId> opened_;
  std::size_t frames_ = 0;
};

// A user of the session, who answers events by a rule of its own.
class World final : public SpdyEvents {
 public:
  World(fuzz::Input input, Cut cut)
      : input_(input),
        cut_(cut),
        options_(input_.byte()),
        role_((options_ & 1) != 0 ? SpdyRole::client : SpdyRole::server),
        session_(role_, SpdyKeepalive{5s, 3s}, now_),
        peer_(role_) {}

  std::string run() {
    for (int i = 0; i < kMaxSteps && !input_.empty() && !error_; ++i) step(input_.byte());
    drain();
    require(session_.open_streams() <= SpdySession::kMaxStreams);
    log_ += error_.message() + ' ' + std::to_string(session_.open_streams());
    return std::move(log_);
  }

  void stream_opened(StreamId stream, Headers headers, Fin fin) override {
    require(!told_.contains(stream) && stream != 0 && stream <= kMaxStreamId);
    require(headers.size() <= kMaxHeaders);
    told_[stream].finished = fin == Fin::yes;
    opened_.push_back(stream);
    note("opened", stream, headers.size());
    act(stream);
  }
  void stream_replied(StreamId stream, Headers headers) override {
    require(own_.contains(stream) && !told_[stream].over);
    require(replied_.insert(stream).second);
    note("replied", stream, headers.size());
    act(stream);
  }
  void stream_data(StreamId stream, Bytes bytes) override {
    Told const& told = told_[stream];
    require(!bytes.empty() && !told.finished && !told.over);
    data_[stream] += as_text(bytes);
    received_ += bytes.size();
  }
  void stream_finished(StreamId stream) override {
    Told& told = told_[stream];
    require(!told.finished && !told.over);
    told.finished = true;
    note("finished", stream, data_[stream].size());
    act(stream);
  }
  void stream_reset(StreamId stream, RstStatus status) override {
    Told& told = told_[stream];
    require(!told.over);
    told.over = true;
    note("reset", stream, static_cast<std::size_t>(status));
    act(stream);
  }

 private:
  void note(char const* what, StreamId stream, std::size_t number) {
    log_ += what + (' ' + std::to_string(stream)) + ' ' + std::to_string(number) + '\n';
  }

  // From inside an event: something, by the number of the stream.
  void act(StreamId stream) {
    switch ((options_ >> 1) + stream % 5) {
      case 1:
        return (void)session_.reply(stream, {{"a", "b"}});
      case 2:
        return reset(stream);
      case 3:
        return (void)session_.send(stream, Chunk::copy_of(as_bytes("answer")), Fin::yes);
      case 4:
        return (void)open();
      case 11:
        session_.goaway();
        for (auto& [id, told] : told_) told.over = true;
        return;
      default:
        return;
    }
  }
  void reset(StreamId stream) {
    session_.reset(stream, RstStatus::cancel);
    auto const at = told_.find(stream);
    if (at != told_.end()) at->second.over = true;
  }
  void open() {
    auto const stream = session_.open_stream({{"port", "80"}}, Fin::no);
    if (!stream) return;
    require(own_.insert(*stream).second);
    told_[*stream];
  }

  // One of the streams there have been, or another number.
  StreamId some_stream() {
    std::uint8_t const choice = input_.byte();
    if (choice >= 200) return input_.number(4);
    if (choice >= 100 && !opened_.empty()) return opened_[choice % opened_.size()];
    return choice;
  }

  void step(std::uint8_t choice) {
    switch (choice % 16) {
      case 0:
        return receive(std::string(input_.text(input_.byte())));
      case 1:
      case 2:
        return receive_block(choice % 16 == 1 ? FrameType::syn_stream : FrameType::syn_reply);
      case 3:
      case 4:
        return receive_data();
      case 5:
        return receive_words();
      case 6:
        return open();
      case 7:
        return (void)session_.reply(some_stream(), {{"x", "y"}}, fin());
      case 8:
      case 9:
        return send();
      case 10:
        return reset(some_stream());
      case 11:
        return tick();
      case 12:
        session_.ping(now_);
        return;
      case 13:
        return drain_one();
      case 14:
        return drain();
      default:
        if (choice < 240) return drain();
        session_.goaway();
        for (auto& [id, told] : told_) told.over = true;
        return;
    }
  }

  Fin fin() { return input_.byte() % 2 == 0 ? Fin::no : Fin::yes; }

  void receive(std::string const& bytes) {
    if (cut_ == Cut::no) return receive_piece(bytes);
    for (auto const& piece : fuzz::pieces(bytes, 6)) receive_piece(piece);
  }
  void receive_piece(std::string_view bytes) {
    if (error_) return;
    error_ = session_.receive(as_bytes(bytes), now_, *this);
    if (!error_) return;
    require(error_ == Errc::protocol || error_ == Errc::limit || error_ == Errc::going_away);
    require(session_.receive(as_bytes("x"), now_, *this) == error_);
    require(session_.open_stream({}, Fin::no).has_error());
  }
  void receive_block(FrameType type) {
    StreamId const stream = some_stream();
    std::vector<std::byte> block;
    encoder_.encode({{"name", std::string(input_.text(input_.byte() % 8))}}, block);
    std::string bytes;
    if (type == FrameType::syn_stream) {
      bytes = as_text(syn_stream_head(stream, fin(), block.size()));
    } else {
      bytes = as_text(syn_reply_head(stream, fin(), block.size()));
    }
    receive(bytes.append(as_text(block)));
  }
  void receive_data() {
    StreamId const stream = some_stream() & kMaxStreamId;
    if (stream == 0) return;
    std::array<std::byte, kFrameHeaderSize> head{};
    Fin const end = fin();
    auto const text = input_.text(input_.byte());
    write_data_header(head, stream, end, text.size());
    receive(std::string(as_text(head)).append(text));
  }
  void receive_words() {
    std::uint8_t const choice = input_.byte();
    StreamId const stream = some_stream();
    auto const status = static_cast<RstStatus>(input_.byte());
    if (choice % 4 == 0) receive(std::string(as_text(ping_frame(stream))));
    if (choice % 4 == 1 || choice % 4 == 2) {
      receive(std::string(as_text(rst_stream_frame(stream, status))));
    }
    if (choice == 3) receive(std::string(as_text(goaway_frame(stream, GoawayStatus::ok))));
  }

  void send() {
    StreamId const stream = some_stream();
    Fin const end = fin();
    std::size_t const size = input_.number(2);
    Chunk chunk(size);
    chunk.commit(size);
    std::ranges::fill(chunk.data(), std::byte{'s'});
    error_code const error = session_.send(stream, std::move(chunk), end);
    require(!error || error == Errc::closed || error == Errc::limit);
    if (!error && size != 0) require(session_.queued(stream));
  }

  void tick() {
    now_ += std::chrono::milliseconds(input_.number(2));
    auto const answers =
        input_.byte() % 2 == 0 ? SpdySession::Answers::possible : SpdySession::Answers::impossible;
    error_code const error = session_.tick(now_, answers);
    if (error) {
      require(error == Errc::ping_timeout && answers == SpdySession::Answers::possible);
      session_.postpone(now_);
    }
    require(session_.deadline() > now_);
  }

  void drain_one() {
    auto const chunk = session_.next_chunk();
    if (!chunk) return;
    require(!chunk->empty());
    for (StreamId const stream : session_.taken()) require(!session_.queued(stream));
    peer_.take(chunk->data());
  }
  void drain() {
    for (int i = 0; i < 100'000; ++i) {
      auto const chunk = session_.next_chunk();
      if (!chunk) return;
      require(!chunk->empty());
      peer_.take(chunk->data());
    }
    require(false);
  }

  fuzz::Input input_;
  Cut const cut_;
  unsigned const options_;
  SpdyRole const role_;
  TimePoint now_{1h};
  SpdySession session_;
  Peer peer_;
  HeaderEncoder encoder_;
  error_code error_;
  std::map<StreamId, Told> told_;
  std::map<StreamId, std::string> data_;
  std::set<StreamId> own_;
  std::set<StreamId> replied_;
  std::vector<StreamId> opened_;
  std::size_t received_ = 0;
  std::string log_;
};

}  // namespace
}  // namespace kportal::net

extern "C" int LLVMFuzzerTestOneInput(std::uint8_t const* data, std::size_t size) {
  using namespace kportal;
  fuzz::Budget const budget;
  fuzz::Input const input(data, size);
  std::string const whole = net::World(input, net::Cut::no).run();
  std::string const cut = net::World(input, net::Cut::yes).run();
  fuzz::require(whole == cut);
  return 0;
}
