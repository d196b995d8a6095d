// SPDX-License-Identifier: MIT
#include "tests/e2e/lab_thread.h"

#include <thread>

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <gtest/gtest.h>

#include "base/task_group.h"

namespace kportal::test {

class LabThread::Impl {
 public:
  explicit Impl(lab::ApiServerOptions options)
      : cluster_(loop_.get_executor()),
        server_(loop_.get_executor(), cluster_, std::move(options)),
        lab_{cluster_, server_},
        tasks_(loop_.get_executor()),
        work_(loop_.get_executor()) {
    start();
    thread_ = std::thread([this] { loop_.run(); });
  }

  ~Impl() {
    stop_server();
    await([this](std::promise<bool>& done) { tasks_.spawn(end(done)); });
    work_.reset();
    thread_.join();
  }

  void post(std::function<void(Lab&)> fn) {
    asio::post(loop_, [this, fn = std::move(fn)] { fn(lab_); });
  }

  bool wait_for(std::function<bool(Lab&)> condition, Duration within) {
    std::function<bool()> const holds = [this, &condition] { return condition(lab_); };
    return await([&](std::promise<bool>& done) { tasks_.spawn(watch(holds, within, done)); });
  }

  void stop_server() {
    await([this](std::promise<bool>& done) { tasks_.spawn(stop(done)); });
  }

  void start() {
    auto const started = server_.start();
    EXPECT_TRUE(started.has_value()) << started.error().text;
  }

 private:
  bool await(std::function<void(std::promise<bool>&)> begin) {
    std::promise<bool> done;
    asio::post(loop_, [&] { begin(done); });
    return done.get_future().get();
  }
  awaitable<void> watch(std::function<bool()> condition, Duration within,
                        std::promise<bool>& done) {
    bool const holds = co_await server_.wait_for(condition, within);
    done.set_value(holds);
  }
  awaitable<void> stop(std::promise<bool>& done) {
    co_await server_.stop();
    done.set_value(true);
  }
  awaitable<void> end(std::promise<bool>& done) {
    co_await cluster_.stop();
    done.set_value(true);
  }

  asio::io_context loop_{1};
  lab::Cluster cluster_;
  lab::ApiServer server_;
  Lab lab_;
  TaskGroup tasks_;
  asio::executor_work_guard<asio::io_context::executor_type> work_;
  std::thread thread_;
};

LabThread::LabThread(lab::ApiServerOptions options)
    : impl_(std::make_unique<Impl>(std::move(options))) {}

LabThread::~LabThread() = default;

void LabThread::post(std::function<void(Lab&)> fn) {
  impl_->post(std::move(fn));
}

bool LabThread::wait_for(std::function<bool(Lab&)> condition, Duration within) {
  return impl_->wait_for(std::move(condition), within);
}

void LabThread::stop_server() {
  impl_->stop_server();
}

void LabThread::start_server() {
  call([this](Lab&) { impl_->start(); });
}

std::string LabThread::kubeconfig(lab::KubeconfigOptions const& options) {
  return call([&](Lab& lab) { return lab.server.kubeconfig(options); });
}

std::size_t LabThread::open_tunnels() {
  return call([](Lab& lab) { return lab.server.open_tunnels(); });
}

}  // namespace kportal::test
