// SPDX-License-Identifier: MIT
#include <algorithm>
#include <charconv>
#include <limits>
#include <thread>

#include "tests/bench/flows.h"
#include "tests/bench/rows.h"
#include "tests/bench/up.h"
#include "tests/e2e/pulse.h"

namespace kportal::bench {

using namespace std::chrono_literals;

namespace {

constexpr double kNeverHappened = std::numeric_limits<double>::infinity();
constexpr Duration kStall = 60s;
constexpr Duration kCompared = 5s;  // rates before the stall, and after it
constexpr std::size_t kReaders = 8;
constexpr std::size_t kUpload = 64 * 1024 * 1024;
constexpr int kTransfers = 50;

}  // namespace

void measure_refused(Ground& ground, Repeats repeats, Row& row) {
  row.note("maxTunnels: 1; from the begin of the connection, the way to the pod included");
  Up up(ground, {"resource: pod/solo, port: 7000, localPort: auto, alias: echo"},
        "reliability: { maxTunnels: 1 }\n");
  std::uint16_t const port = up.active_port("echo:auto");
  while (repeats.next()) {
    Echoes echoes(port, kTransfers, 16 * 1024, 20ms);
    if (!echoes.wait_for_blocks(2, 60s)) throw CannotMeasure("no transfers before the fault");
    ground.refuse_port(true);
    std::size_t const mark = up.program().mark();
    TimePoint const begin = Clock::now();
    test::Client refused(port);
    refused.send("hello");
    refused.read_to_end(30s);
    TimePoint const end = Clock::now();
    auto const event = up.program().wait_for_event("connection.failed", "echo:auto", mark, 5s);
    bool const right =
        event && std::get<events::ConnectionFailed>(event->fact).reason == events::Reason::refused;
    std::uint64_t const blocks = echoes.least_blocks();
    echoes.wait_for_blocks(blocks + 3, 3s);
    ground.refuse_port(false);
    auto const flows = echoes.finish();
    bool const ended = refused.end() == test::End::reset;
    row.add("connection ends", "ms", Goal::at_most(100),
            ended ? millis(end - begin) : kNeverHappened);
    row.add("reason not `refused`", "", Goal::at_most(0), right ? 0 : 1);
    row.add("transfers touched", "", Goal::at_most(0),
            static_cast<double>(std::ranges::count_if(flows, [&](Echoes::Flow const& flow) {
              return !flow.untouched() || flow.blocks < blocks + 3;
            })));
  }
}

namespace {

// Bytes that each reader had at a time.
struct Counts {
  explicit Counts(Readers const& readers) : at(Clock::now()) {
    for (std::size_t i = 0; i < readers.size(); ++i) bytes.push_back(readers.bytes(i));
  }
  TimePoint at;
  std::vector<std::uint64_t> bytes;
};

// Bytes a second of each but the first.
std::vector<double> rates(Counts const& from, Counts const& to) {
  double const seconds = millis(to.at - from.at) / 1000;
  std::vector<double> result;
  for (std::size_t i = 1; i < from.bytes.size(); ++i) {
    result.push_back(static_cast<double>(to.bytes[i] - from.bytes[i]) / seconds);
  }
  return result;
}

double sum(std::vector<double> const& values) {
  double total = 0;
  for (double const value : values) total += value;
  return total;
}

double least_share(std::vector<double> const& of, std::vector<double> const& before) {
  double least = kNeverHappened;
  for (std::size_t i = 0; i < of.size(); ++i) least = std::min(least, 100 * of[i] / before[i]);
  return least;
}

// The most memory that the program has until then, in KiB.
std::size_t most_memory(test::Program const& program, TimePoint until) {
  std::size_t most = 0;
  while (Clock::now() < until) {
    most = std::max(most, program.memory_kib("VmRSS"));
    std::this_thread::sleep_for(250ms);
  }
  return most;
}

}  // namespace

void measure_stalled_reader(Ground& ground, Repeats repeats, Row& row) {
  while (repeats.next()) {
    Up up(ground, {"resource: pod/solo, port: 9001, localPort: auto, alias: source"});
    Readers readers(up.active_port("source:auto"), kReaders);
    if (!readers.all_read()) throw CannotMeasure("a reader gets nothing");
    std::this_thread::sleep_for(2s);
    Counts const begin(readers);
    std::size_t const before = most_memory(up.program(), Clock::now() + kCompared);
    Counts const stalled(readers);
    readers.stall(0, true);
    std::size_t const during = most_memory(up.program(), stalled.at + kStall);
    Counts const over(readers);
    readers.leave(0);
    std::this_thread::sleep_for(2s);
    Counts const alone(readers);
    std::this_thread::sleep_for(kCompared);
    Counts const end(readers);

    auto const rate_before = rates(begin, stalled);
    auto const rate_during = rates(stalled, over);
    double const mib = 1024 * 1024;
    row.add("the 7, of their rate before", "%", Goal::at_least_always(90),
            100 * sum(rate_during) / sum(rate_before));
    row.add("the 7, of their rate alone", "%", Goal::at_least_always(90),
            100 * sum(rate_during) / sum(rates(alone, end)));
    row.add("the slowest of the 7, of its rate before", "%", Goal::told_at_least(),
            least_share(rate_during, rate_before));
    row.add("rate of the 7 before", "MiB/s", Goal::none(), sum(rate_before) / mib);
    row.add("memory, growth", "MiB", Goal::at_most(2),
            (static_cast<double>(during) - static_cast<double>(before)) / 1024);
    int ended = 0;
    for (std::size_t j = 1; j < kReaders; ++j) ended += readers.ended(j) ? 1 : 0;
    row.add("others ended", "", Goal::at_most(0), ended);
  }
}

void measure_stalled_upload(Ground& ground, Repeats repeats, Row& row) {
  row.note("one connection: a request that the pod answers after 60 s, then the upload");
  Up up(ground, {"resource: pod/solo, port: 8080, localPort: auto, alias: http"});
  std::uint16_t const port = up.active_port("http:auto");
  std::string const body(kUpload, 'u');
  while (repeats.next()) {
    auto const stall =
        std::to_string(std::chrono::duration_cast<std::chrono::milliseconds>(kStall).count());
    test::Client client(port);
    test::Pulse others(port);
    TimePoint const begin = Clock::now();
    std::thread sender([&] {
      client.send("GET /sleep?ms=" + stall + " HTTP/1.1\r\nHost: pod\r\n\r\n");
      client.send("POST /count HTTP/1.1\r\nHost: pod\r\nContent-Length: " +
                  std::to_string(kUpload) + "\r\n\r\n");
      client.send(body, kStall + 60s);
    });
    sender.join();
    // "slept 60000\n", then the number of bytes that arrived.
    std::string text;
    std::string const expected = "\r\n\r\n" + std::to_string(kUpload) + "\n";
    while (!text.ends_with(expected)) {
      std::string const more = client.read(1, 60s);
      if (more.empty()) break;
      text += more;
    }
    bool const whole = text.ends_with(expected) && client.end() == test::End::open;
    others.stop();
    auto const count = others.count();
    row.add("uploads not whole", "", Goal::at_most(0), whole ? 0 : 1);
    row.add("took", "s", Goal::none(), millis(Clock::now() - begin) / 1000);
    row.add("others failed", "", Goal::at_most(0), count.asked - count.answered);
    row.add("others answered", "", Goal::none(), count.answered);
  }
}

}  // namespace kportal::bench
