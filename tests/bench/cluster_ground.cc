// SPDX-License-Identifier: MIT
#include <algorithm>
#include <arpa/inet.h>
#include <array>
#include <condition_variable>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <fcntl.h>
#include <filesystem>
#include <fstream>
#include <future>
#include <iterator>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <mutex>
#include <poll.h>
#include <sched.h>
#include <set>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>

#include <fmt/format.h>

#include "tests/bench/ground.h"
#include "tests/cluster/cluster_fixture.h"
#include "tests/e2e/temp_dir.h"

namespace kportal::bench {
namespace {

using namespace std::chrono_literals;
using test::cluster_dir;

constexpr char const* kNamespace = "kportal-faults";
// A process that is seen to have ended has closed its connections before; not longer ago than this.
constexpr Duration kEnding = 500ms;
constexpr int kApiPort = 6443;

std::string pod_spec(int indent) {
  std::string const text = R"(
automountServiceAccountToken: false
dnsPolicy: Default
terminationGracePeriodSeconds: 3
containers:
- name: server
  image: kportal.test/pod:1
  imagePullPolicy: Never
  env:
  - {name: POD_NAME, valueFrom: {fieldRef: {fieldPath: metadata.name}}}
  - {name: POD_NAMESPACE, valueFrom: {fieldRef: {fieldPath: metadata.namespace}}}
  readinessProbe: {httpGet: {path: /healthz, port: 8080}, periodSeconds: 1}
)";
  std::string result;
  for (char const c : text) {
    result += c;
    if (c == '\n') result.append(static_cast<std::size_t>(indent), ' ');
  }
  return result + "\n";
}

std::string deployment(std::string const& name, int replicas) {
  return fmt::format(R"(---
apiVersion: apps/v1
kind: Deployment
metadata: {{name: {0}}}
spec:
  replicas: {1}
  strategy: {{rollingUpdate: {{maxSurge: 1, maxUnavailable: 0}}}}
  selector: {{matchLabels: {{app: {0}}}}}
  template:
    metadata: {{labels: {{app: {0}}}}}
    spec:{2})",
                     name, replicas, pod_spec(6));
}

std::string manifest() {
  return deployment("web", 1) + deployment("three", 3) +
         "---\napiVersion: v1\nkind: Pod\nmetadata: {name: solo}\nspec:" + pod_spec(2);
}

// What a shell command prints, without the newline at the end. Throws if it fails.
std::string shell(std::string const& command) {
  FILE* const out = popen(command.c_str(), "r");
  std::string text;
  std::array<char, 4096> buffer{};
  while (std::size_t const n = fread(buffer.data(), 1, buffer.size(), out)) {
    text.append(buffer.data(), n);
  }
  if (pclose(out) != 0) throw CannotMeasure("failed: " + command);
  while (text.ends_with('\n')) text.pop_back();
  return text;
}

std::string script(std::string_view name) {
  return fmt::format("{}/{}", KPORTAL_CLUSTER_SCRIPTS, name);
}

std::string kubectl(std::string const& arguments) {
  return shell(fmt::format("{0}/bin/kubectl --kubeconfig {0}/kubeconfig -n {1} {2}", cluster_dir(),
                           kNamespace, arguments));
}

// When a pod of a Deployment was first seen Ready by a watch of kubectl's.
class ReadyWatch {
 public:
  explicit ReadyWatch(std::string const& app) {
    int ends[2];
    if (::pipe2(ends, O_CLOEXEC) != 0) throw CannotMeasure("no pipe");
    out_ = ends[0];
    std::string command = fmt::format(
        "exec {0}/bin/kubectl --kubeconfig {0}/kubeconfig -n {1} get pods -l app={2} -w -o "
        "'jsonpath={{.metadata.name}} "
        "{{.status.conditions[?(@.type==\"Ready\")].status}} "
        "{{.metadata.deletionTimestamp}}{{\"\\n\"}}'",
        cluster_dir(), kNamespace, app);
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, ends[1], 1);
    std::array<char*, 4> argv = {const_cast<char*>("sh"), const_cast<char*>("-c"), command.data(),
                                 nullptr};
    int const failed = ::posix_spawn(&pid_, "/bin/sh", &actions, nullptr, argv.data(), environ);
    posix_spawn_file_actions_destroy(&actions);
    ::close(ends[1]);
    if (failed != 0) throw CannotMeasure("kubectl does not start");
    reader_ = std::thread([this] { read(); });
  }
  ~ReadyWatch() {
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
    reader_.join();
    ::close(out_);
  }
  ReadyWatch(ReadyWatch const&) = delete;
  ReadyWatch& operator=(ReadyWatch const&) = delete;

  using Ready = std::pair<std::string, TimePoint>;
  // The first pod that is Ready and is not `old`.
  Ready wait(std::string const& old) {
    std::unique_lock lock(mutex_);
    auto found = ready_.end();
    bool const came = changed_.wait_for(lock, 60s, [&] {
      found = std::ranges::find_if(ready_, [&](Ready const& each) { return each.first != old; });
      return found != ready_.end();
    });
    if (!came) throw CannotMeasure("no pod is Ready");
    return *found;
  }

 private:
  void read() {
    std::string text;
    char buffer[4096];
    for (ssize_t n = 0; (n = ::read(out_, buffer, sizeof buffer)) > 0;) {
      TimePoint const now = Clock::now();
      text.append(buffer, static_cast<std::size_t>(n));
      for (auto end = text.find('\n'); end != std::string::npos; end = text.find('\n')) {
        take(text.substr(0, end), now);
        text.erase(0, end + 1);
      }
    }
  }
  void take(std::string const& line, TimePoint now) {
    auto const space = line.find(' ');
    // Behind it stands when it is to be gone, if it is being deleted.
    if (space == std::string::npos || line.substr(space + 1) != "True ") return;
    std::lock_guard const lock(mutex_);
    ready_.emplace_back(line.substr(0, space), now);
    changed_.notify_all();
  }

  int out_ = -1;
  pid_t pid_ = -1;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<Ready> ready_;
  std::thread reader_;
};

// Enters a network namespace, of this thread and of what it starts.
void enter_network(std::string const& path) {
  int const fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  bool const entered = fd >= 0 && ::setns(fd, CLONE_NEWNET) == 0;
  if (fd >= 0) ::close(fd);
  if (!entered) throw CannotMeasure("cannot enter " + path + ": root is needed");
}

struct TcpEntry {
  std::uint32_t local = 0;  // addresses in network order
  std::uint32_t remote = 0;
  std::uint16_t local_port = 0;
  std::uint16_t remote_port = 0;
  int state = 0;  // 1: established
  std::uint64_t inode = 0;
};

// Of /proc/PID/net/tcp or tcp6 (its addresses are not read then).
std::vector<TcpEntry> tcp_of(pid_t pid, char const* file) {
  std::ifstream in(fmt::format("/proc/{}/net/{}", pid, file));
  std::vector<TcpEntry> entries;
  std::string line;
  std::getline(in, line);
  while (std::getline(in, line)) {
    TcpEntry entry;
    char local[40] = {};
    char remote[40] = {};
    unsigned local_port = 0;
    unsigned remote_port = 0;
    unsigned state = 0;
    unsigned long inode = 0;
    int const n = std::sscanf(line.c_str(), "%*s %39[^:]:%x %39[^:]:%x %x %*s %*s %*s %*s %*s %lu",
                              local, &local_port, remote, &remote_port, &state, &inode);
    if (n != 6) continue;
    entry.local = static_cast<std::uint32_t>(std::strtoul(local, nullptr, 16));
    entry.remote = static_cast<std::uint32_t>(std::strtoul(remote, nullptr, 16));
    entry.local_port = static_cast<std::uint16_t>(local_port);
    entry.remote_port = static_cast<std::uint16_t>(remote_port);
    entry.state = static_cast<int>(state);
    entry.inode = inode;
    entries.push_back(entry);
  }
  return entries;
}

// Of the program's sockets, those to that port.
std::vector<TcpEntry> connections_to(pid_t pid, std::uint16_t port) {
  std::set<std::uint64_t> own;
  std::error_code ignored;
  for (auto const& entry :
       std::filesystem::directory_iterator(fmt::format("/proc/{}/fd", pid), ignored)) {
    std::string const target = std::filesystem::read_symlink(entry.path(), ignored).string();
    unsigned long inode = 0;
    if (std::sscanf(target.c_str(), "socket:[%lu]", &inode) == 1) own.insert(inode);
  }
  auto all = tcp_of(pid, "tcp");
  std::erase_if(all, [&](TcpEntry const& entry) {
    return entry.remote_port != port || entry.state != 1 || !own.contains(entry.inode);
  });
  return all;
}

// Ends the server's end of each, as an administrator does by `ss -K`: the peer gets a reset. In the
// network of `node`.
class Destroyer {
 public:
  explicit Destroyer(pid_t node) {
    std::exception_ptr failure;
    std::thread([&] {
      try {
        enter_network(fmt::format("/proc/{}/ns/net", node));
        fd_ = ::socket(AF_NETLINK, SOCK_DGRAM | SOCK_CLOEXEC, NETLINK_SOCK_DIAG);
      } catch (...) {
        failure = std::current_exception();
      }
    }).join();
    if (failure) std::rethrow_exception(failure);
  }
  ~Destroyer() { ::close(fd_); }
  Destroyer(Destroyer const&) = delete;
  Destroyer& operator=(Destroyer const&) = delete;

  void destroy(std::vector<TcpEntry> const& of_client) const {
    for (TcpEntry const& entry : of_client) {
      struct {
        nlmsghdr head;
        inet_diag_req_v2 body;
      } request{};
      request.head.nlmsg_len = sizeof request;
      request.head.nlmsg_type = SOCK_DESTROY;
      request.head.nlmsg_flags = NLM_F_REQUEST;
      request.body.sdiag_family = AF_INET;
      request.body.sdiag_protocol = IPPROTO_TCP;
      request.body.idiag_states = ~0U;
      request.body.id.idiag_sport = htons(entry.remote_port);
      request.body.id.idiag_dport = htons(entry.local_port);
      request.body.id.idiag_src[0] = entry.remote;
      request.body.id.idiag_dst[0] = entry.local;
      request.body.id.idiag_cookie[0] = request.body.id.idiag_cookie[1] = INET_DIAG_NOCOOKIE;
      ::send(fd_, &request, sizeof request, 0);
    }
  }

 private:
  int fd_ = -1;
};

// The first process of this machine whose environment holds all of these.
pid_t process_with(std::vector<std::string> const& variables) {
  std::error_code ignored;
  for (auto const& entry : std::filesystem::directory_iterator("/proc", ignored)) {
    std::ifstream file(entry.path() / "environ", std::ios::binary);
    std::string text((std::istreambuf_iterator<char>(file)), {});
    text.insert(0, 1, '\0');
    bool const has = std::ranges::all_of(variables, [&](std::string const& each) {
      return text.find('\0' + each + '\0') != std::string::npos;
    });
    if (has) return static_cast<pid_t>(std::atoi(entry.path().filename().c_str()));
  }
  throw CannotMeasure("no process with " + variables.front());
}

// Of the scripts' file of a part, or of the node itself.
pid_t pid_of(std::string const& part) {
  std::ifstream file(fmt::format("{}/state/run/{}.pid", cluster_dir(), part));
  pid_t pid = -1;
  if (!(file >> pid)) throw CannotMeasure(part + " does not run");
  return pid;
}

class ClusterWire final : public Ground::Wire {
 public:
  ClusterWire() {
    shell(script("netns") + " add");
    enter_network("/run/netns/kportal-client");
  }
  // Its programs have ended; this thread, which is still in there, ends soon.
  ~ClusterWire() override { std::system((script("netns") + " del").c_str()); }
  void cut() override { shell(script("netns") + " cut"); }
  void heal() override { shell(script("netns") + " heal"); }
};

class ClusterGround final : public Ground {
 public:
  ClusterGround() {
    kubectl(fmt::format("delete namespace {} --ignore-not-found", kNamespace));
    kubectl(fmt::format("create namespace {} >/dev/null", kNamespace));
    // Until then no pod may be created in it.
    kubectl("wait serviceaccount/default --for=create --timeout=60s >/dev/null");
    kubectl("apply -f " + dir_.write("targets.yaml", manifest()) + " >/dev/null");
    kubectl("rollout status deployment/web deployment/three --timeout=120s >/dev/null");
    kubectl("wait pod/solo --for=condition=Ready --timeout=120s >/dev/null");
    server_ = kubectl("config view -o 'jsonpath={.clusters[0].cluster.server}'");
    solo_ = process_with({"POD_NAME=solo", fmt::format("POD_NAMESPACE={}", kNamespace)});
  }
  ~ClusterGround() override {
    try {
      kubectl(fmt::format("delete namespace {} --wait=false >/dev/null", kNamespace));
    } catch (CannotMeasure const& cannot) {
      std::fprintf(stderr, "%s\n", cannot.what());
    }
  }

  std::string_view name() const override { return "cluster"; }
  std::string kubeconfig() const override { return cluster_dir() + "/kubeconfig"; }
  std::string name_space() const override { return kNamespace; }

  Replaced replace_pod() override {
    ReadyWatch watch("web");
    Replaced result;
    result.old = watch.wait({}).first;
    kubectl(fmt::format("delete pod {} --wait=false >/dev/null", result.old));
    result.ready = watch.wait(result.old).second;
    return result;
  }
  void roll_out() override {
    kubectl("rollout restart deployment/three >/dev/null");
    kubectl("rollout status deployment/three --timeout=120s >/dev/null");
  }

  std::size_t reset_tunnels(test::Program const& program) override {
    Destroyer const destroyer(pid_of("node"));
    auto const connections = connections_to(program.pid(), kApiPort);
    destroyer.destroy(connections);
    return connections.size();
  }
  std::string_view how_tunnels_are_reset() const override {
    return "all of the program's connections, watches too, are destroyed at the API server's end";
  }

  std::unique_ptr<Wire> make_wire() override { return std::make_unique<ClusterWire>(); }
  std::string_view how_wire_is_cut() const override {
    return "a router between the network of the program and the node drops all packets";
  }

  void refuse_port(bool refuse) override {
    for (char const* const tables : {"iptables", "ip6tables"}) {
      shell(
          fmt::format("nsenter -t {} -n {} -w {} INPUT -p tcp --dport 7000 --syn -j REJECT "
                      "--reject-with tcp-reset",
                      solo_, tables, refuse ? "-I" : "-D"));
    }
  }

  TimePoint end_api_server() override {
    int const server = static_cast<int>(::syscall(SYS_pidfd_open, pid_of("kube-apiserver"), 0));
    if (server < 0) throw CannotMeasure("no API server to end");
    auto done =
        std::async(std::launch::async, [] { shell(script("ctl") + " kill kube-apiserver TERM"); });
    pollfd waiting{server, POLLIN, 0};
    ::poll(&waiting, 1, 60'000);
    TimePoint const at = Clock::now() - kEnding;
    ::close(server);
    done.get();
    return at;
  }
  TimePoint start_api_server() override {
    auto done =
        std::async(std::launch::async, [] { shell(script("ctl") + " start kube-apiserver"); });
    std::string const ask = fmt::format("curl -sk -m 1 {}/readyz || true", server_);
    TimePoint const deadline = Clock::now() + 90s;
    while (shell(ask) != "ok") {
      if (Clock::now() > deadline) throw CannotMeasure("the API server does not come back");
      std::this_thread::sleep_for(30ms);
    }
    TimePoint const at = Clock::now();
    done.get();
    return at;
  }
  std::string_view how_api_server_ends() const override {
    return "SIGTERM to kube-apiserver, then a start; back: /readyz says ok";
  }

  int pod_connections() override {
    int open = 0;
    for (char const* const file : {"tcp", "tcp6"}) {
      for (TcpEntry const& entry : tcp_of(solo_, file)) {
        open += entry.local_port == 8080 && entry.state == 1 ? 1 : 0;
      }
    }
    return open;
  }

 private:
  test::TempDir dir_;
  std::string server_;
  pid_t solo_ = -1;
};

}  // namespace

std::unique_ptr<Ground> make_cluster_ground() {
  return std::make_unique<ClusterGround>();
}

}  // namespace kportal::bench
