// SPDX-License-Identifier: MIT
// `demo`: the lab's cluster in this process, `up` on it, and a script that looks at the result as a
// user would: it asks through a forward, kills the pod that answered, and asks again.
#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <sys/stat.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <fmt/format.h>

#include "cmd/app.h"
#include "cmd/commands/commands.h"
#include "k8s/curl_multi.h"
#include "lab/api_server.h"

namespace kportal::cmd {
namespace {

using namespace std::chrono_literals;

constexpr Duration kBetweenKills = 8s;
constexpr Duration kFirstKill = 2s;
constexpr Duration kAnswerLimit = 20s;
constexpr char const* kForwards = R"(contexts:
  - name: demo
    kubeconfig: kubeconfig
    namespaces:
      - name: default
        forwards:
          - { resource: service/web, port: 80, localPort: auto, alias: web }
          - { resource: deployment/web, port: 7000, localPort: auto, alias: echo }
          - { resource: pod/solo, port: 9003, localPort: auto, alias: banner }
)";

// A directory of its own, gone when the demo is over.
class TemporaryDirectory {
 public:
  TemporaryDirectory() {
    std::string path = (std::filesystem::temp_directory_path() / "kportal-demo-XXXXXX").string();
    if (mkdtemp(path.data()) != nullptr) path_ = path;
  }
  ~TemporaryDirectory() {
    std::error_code ignored;
    if (!path_.empty()) std::filesystem::remove_all(path_, ignored);
  }
  TemporaryDirectory(TemporaryDirectory const&) = delete;
  TemporaryDirectory& operator=(TemporaryDirectory const&) = delete;
  std::string file(char const* name) const { return path_ + "/" + name; }
  bool ok() const { return !path_.empty(); }

 private:
  std::string path_;
};

bool write_file(std::string const& path, std::string const& text) {
  std::ofstream file(path);
  chmod(path.c_str(), S_IRUSR | S_IWUSR);
  return static_cast<bool>(file << text << std::flush);
}

class Demo {
 public:
  Demo(asio::io_context& loop, std::chrono::milliseconds duration)
      : loop_(loop),
        duration_(duration),
        cluster_(loop.get_executor()),
        server_(loop.get_executor(), cluster_),
        curl_(loop.get_executor()),
        tasks_(loop.get_executor()) {}

  ExitCode run(CommonOptions options) {
    lab::WorkloadSpec web;
    web.name = "web";
    web.replicas = 2;
    web.ready_after = 1s;
    cluster_.add_workload(web);
    lab::PodSpec solo;
    solo.name = "solo";
    cluster_.add_pod(solo);
    lab::ServiceSpec service;
    service.name = "web";
    service.selector = {{"app", "web"}};
    service.ports.push_back({"http", 80, "8080"});
    cluster_.add_service(service);
    auto const started = server_.start();
    lab::KubeconfigOptions context;
    context.context = "demo";
    if (started.has_error() || !directory_.ok() ||
        !write_file(directory_.file("kubeconfig"), server_.kubeconfig(context)) ||
        !write_file(directory_.file("forwards.yaml"), kForwards)) {
      std::fprintf(stderr, "kportal-cpp: the demo's cluster cannot start: %s\n",
                   started.has_error() ? started.error().text.c_str() : "no temporary directory");
      return ExitCode::failure;
    }
    options.files = {directory_.file("forwards.yaml")};
    App app(loop_, std::move(options), {});
    app.at_end([this] { return stop(); });
    tasks_.spawn(follow_events(app));
    tasks_.spawn(play(app));
    ExitCode const code = app.run();
    if (!tasks_.empty()) end_without_loop();
    if (code != ExitCode::ok || duration_ == 0ms) return code;
    bool const passed = answered_before_ && answered_after_;
    std::printf(passed ? "demo: traffic passed before and after a pod was killed\n"
                       : "demo: FAILED: traffic did not pass before and after a pod was killed\n");
    return passed ? ExitCode::ok : ExitCode::failure;
  }

 private:
  awaitable<void> stop() {
    tasks_.cancel();
    co_await tasks_.join();
    co_await server_.stop();
    co_await cluster_.stop();
  }

  // For a program that failed before its loop began.
  void end_without_loop() {
    asio::co_spawn(loop_, stop(), [](std::exception_ptr error) {
      if (error) std::rethrow_exception(error);
    });
    loop_.run();
  }

  // Learns where `web` listens.
  awaitable<void> follow_events(App& app) {
    auto reader = app.bus().read();
    for (;;) {
      auto const delivery = co_await reader.next();
      if (!delivery) co_return;
      auto const* const event = std::get_if<events::SharedEvent>(&*delivery);
      if (event == nullptr) continue;
      auto const* const change = std::get_if<events::HealthStatusChanged>(&(*event)->fact);
      if (change == nullptr || change->status != events::Status::active) continue;
      if (!change->forward.id.starts_with("web:")) continue;
      std::uint16_t const before = std::exchange(web_port_, change->forward.local_port);
      if (before != web_port_) {
        app.print(fmt::format("demo: open http://127.0.0.1:{}/", web_port_));
      }
      web_active_.set();
    }
  }

  awaitable<void> play(App& app) {
    TimePoint const end = duration_ == 0ms ? kNever : Clock::now() + duration_;
    while (web_port_ == 0) {
      bool const active = co_await web_active_.wait_until(end);
      if (!active) co_return app.stop();
    }
    TimePoint kill_at = std::min(Clock::now() + kFirstKill, end);
    while (kill_at < end) {
      co_await sleep_until(kill_at);
      co_await kill_and_ask(app);
      kill_at += kBetweenKills;
    }
    co_await sleep_until(end);
    app.stop();
  }

  awaitable<void> kill_and_ask(App& app) {
    std::string const before = co_await ask();
    answered_before_ = answered_before_ || !before.empty();
    bool const killed = cluster_.delete_pod(lab::PodName("default", before));
    if (!killed) co_return;
    app.print(fmt::format("demo: killed pod {}", before));
    TimePoint const asked = Clock::now();
    std::string after = co_await ask();
    while (after == before) after = co_await ask();  // it finishes what it had accepted
    if (after.empty()) co_return;
    answered_after_ = true;
    auto const took = std::chrono::duration_cast<std::chrono::milliseconds>(Clock::now() - asked);
    app.print(fmt::format("demo: pod {} answered {} ms later", after, took.count()));
  }

  // The name of the pod that answers on the forward, empty if none does.
  awaitable<std::string> ask() {
    k8s::HttpRequest request;
    request.scheme = "http";
    request.host = "127.0.0.1";
    request.port = web_port_;
    request.fresh_connection = true;
    TimePoint const deadline = Clock::now() + kAnswerLimit;
    auto const response = co_await curl_.perform(std::move(request), deadline);
    if (response.has_error() || response->head.status != 200) co_return std::string();
    std::string const& body = response->body;  // "pod=NAME node=..."
    std::size_t const begin = body.find("pod=");
    if (begin == std::string::npos) co_return std::string();
    co_return body.substr(begin + 4, body.find(' ', begin) - begin - 4);
  }

  asio::io_context& loop_;
  std::chrono::milliseconds duration_;
  TemporaryDirectory directory_;
  lab::Cluster cluster_;
  lab::ApiServer server_;
  k8s::CurlMulti curl_;
  Wakeup web_active_{loop_.get_executor()};
  std::uint16_t web_port_ = 0;
  bool answered_before_ = false;
  bool answered_after_ = false;
  TaskGroup tasks_;
};

}  // namespace

ExitCode run_demo(DemoCommand const& command) {
  asio::io_context loop(1);
  Demo demo(loop, command.duration);
  return demo.run(command.common);
}

}  // namespace kportal::cmd
