// SPDX-License-Identifier: MIT
#include "tests/support/proxy_process.h"

#include <arpa/inet.h>
#include <csignal>
#include <cstdlib>
#include <fcntl.h>
#include <filesystem>
#include <fstream>
#include <netinet/in.h>
#include <spawn.h>
#include <stdexcept>
#include <sys/socket.h>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>
#include <vector>

#include "base/clock.h"

extern char** environ;  // NOLINT: POSIX declares it nowhere

namespace kportal::test {
namespace {

constexpr int kTries = 10;
constexpr std::chrono::seconds kPatience{20};

sockaddr_in loopback(std::uint16_t port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return address;
}

// Somebody else may take it before the proxy does, so that its start may have to be tried again.
std::uint16_t free_port() {
  int const fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address = loopback(0);
  socklen_t size = sizeof(address);
  bool const bound = ::bind(fd, reinterpret_cast<sockaddr const*>(&address), size) == 0 &&
                     ::getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size) == 0;
  ::close(fd);
  if (!bound) throw std::runtime_error("no free port");
  return ntohs(address.sin_port);
}

bool is_installed(std::string const& program) {
  for (char const* const folder : {"/usr/bin/", "/usr/sbin/", "/usr/local/bin/"}) {
    if (::access((folder + program).c_str(), X_OK) == 0) return true;
  }
  return false;
}

// It ends with the test, also with one that crashes: setpriv is of Debian's base system.
pid_t spawn(std::vector<std::string> words) {
  words.insert(words.begin(), {"setpriv", "--pdeathsig", "KILL"});
  std::vector<char*> argv;
  for (auto& word : words) argv.push_back(word.data());
  argv.push_back(nullptr);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  for (int const fd : {0, 1, 2}) {
    posix_spawn_file_actions_addopen(&actions, fd, "/dev/null", O_RDWR, 0);
  }
  // A listening socket of the test would go on listening there.
  posix_spawn_file_actions_addclosefrom_np(&actions, 3);
  pid_t pid = -1;
  int const failed = ::posix_spawnp(&pid, argv[0], &actions, nullptr, argv.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  if (failed != 0) throw std::runtime_error("cannot start " + words.front());
  return pid;
}

}  // namespace

std::unique_ptr<ProxyProcess> ProxyProcess::http(ProxyOptions options, std::string& why_not) {
  return start(Kind::http, std::move(options), why_not);
}

std::unique_ptr<ProxyProcess> ProxyProcess::socks5(ProxyOptions options, std::string& why_not) {
  return start(Kind::socks5, std::move(options), why_not);
}

std::unique_ptr<ProxyProcess> ProxyProcess::start(Kind kind, ProxyOptions options,
                                                  std::string& why_not) {
  std::string const program = kind == Kind::http ? "tinyproxy" : "microsocks";
  if (!is_installed(program)) {
    why_not = program + " is not installed; ./dev test installs it";
    return nullptr;
  }
  std::unique_ptr<ProxyProcess> proxy(new ProxyProcess(kind, std::move(options)));
  for (int i = 0; i < kTries; ++i) {
    if (proxy->start_once()) return proxy;
  }
  throw std::runtime_error(program + " does not start");
}

bool ProxyProcess::start_once() {
  port_ = options_.port != 0 ? options_.port : free_port();
  std::vector<std::string> words;
  if (kind_ == Kind::http) {
    write_configuration();
    words = {"tinyproxy", "-d", "-c", configuration_};
  } else {
    words = {"microsocks", "-i", "127.0.0.1", "-p", std::to_string(port_)};
    if (!options_.user.empty()) {
      words.insert(words.end(), {"-u", options_.user, "-P", options_.password});
    }
  }
  pid_ = spawn(std::move(words));
  TimePoint const deadline = Clock::now() + kPatience;
  while (Clock::now() < deadline) {
    if (ended()) return false;
    if (listens()) return !ended();
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
  stop();
  return false;
}

void ProxyProcess::write_configuration() {
  if (configuration_.empty()) {
    auto text = (std::filesystem::temp_directory_path() / "kportal-proxy-XXXXXX").string();
    int const fd = ::mkstemp(text.data());
    if (fd < 0) throw std::runtime_error("no temporary file");
    ::close(fd);
    configuration_ = text;
  }
  std::ofstream file(configuration_, std::ios::trunc);
  file << "Port " << port_
       << "\nListen 127.0.0.1\nTimeout 600\nMaxClients 200\nLogLevel Critical\n";
  if (!options_.user.empty()) {
    file << "BasicAuth " << options_.user << ' ' << options_.password << '\n';
  }
  if (options_.allowed_port != 0) file << "ConnectPort " << options_.allowed_port << '\n';
}

bool ProxyProcess::listens() const {
  int const fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in const address = loopback(port_);
  bool const connected =
      ::connect(fd, reinterpret_cast<sockaddr const*>(&address), sizeof(address)) == 0;
  ::close(fd);
  return connected;
}

bool ProxyProcess::ended() {
  if (pid_ <= 0) return true;
  if (::waitpid(pid_, nullptr, WNOHANG) != pid_) return false;
  pid_ = -1;
  return true;
}

std::string ProxyProcess::url() const {
  std::string const login =
      options_.user.empty() ? "" : options_.user + ":" + options_.password + "@";
  return (kind_ == Kind::http ? "http://" : "socks5://") + login +
         "127.0.0.1:" + std::to_string(port_);
}

void ProxyProcess::stop() {
  if (pid_ <= 0) return;
  ::kill(pid_, SIGKILL);
  ::waitpid(pid_, nullptr, 0);
  pid_ = -1;
}

ProxyProcess::~ProxyProcess() {
  stop();
  if (!configuration_.empty()) ::unlink(configuration_.c_str());
}

}  // namespace kportal::test
