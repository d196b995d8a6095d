// SPDX-License-Identifier: MIT
// One table of kubeconfigs, valid and broken, given to kubectl and to us: what arrives at which
// server, as whom, in which namespace. `expected` is what we do, so it is tested without kubectl
// too; where kubectl does otherwise the row says what and why.
#include "tests/k8s/kubeconfig_table.h"

#include <filesystem>
#include <fstream>
#include <optional>
#include <string>
#include <unistd.h>
#include <vector>

#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <fmt/format.h>
#include <gtest/gtest.h>

#include "base/task_group.h"
#include "k8s/cluster_pool.h"
#include "lab/certificates.h"
#include "net/resolver.h"
#include "net/tls_context.h"
#include "tests/k8s/http_server.h"
#include "tests/lab/child_process.h"
#include "tests/lab/kubectl.h"

namespace kportal::k8s {
namespace {

namespace fs = std::filesystem;
using namespace std::chrono_literals;

// kubectl's first command that asks for nothing but what it was told: no discovery.
constexpr std::string_view kPath = "/api/v1/namespaces/";
constexpr std::string_view kRest = "/serviceaccounts/x/token";
// Older ones differ in what they refuse.
constexpr int kOldestKubectl = 30;

std::string base64(std::string const& text) {
  static constexpr std::string_view kAlphabet =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string result;
  for (std::size_t i = 0; i < text.size(); i += 3) {
    unsigned bits = 0;
    std::size_t const n = std::min<std::size_t>(3, text.size() - i);
    for (std::size_t j = 0; j < 3; ++j) {
      bits = bits << 8 | (j < n ? static_cast<unsigned char>(text[i + j]) : 0U);
    }
    for (std::size_t j = 0; j < 4; ++j) {
      result += j <= n ? kAlphabet[bits >> (18 - 6 * j) & 63] : '=';
    }
  }
  return result;
}

void replace_all(std::string& text, std::string_view what, std::string_view by) {
  for (auto at = text.find(what); at != text.npos; at = text.find(what, at + by.size())) {
    text.replace(at, what.size(), by);
  }
}

class KubeconfigTableTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = fs::temp_directory_path() / "kportal-table-XXXXXX";
    ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
    root_ = pattern;
    auto authority = lab::CertificateAuthority::make("table CA");
    auto other = lab::CertificateAuthority::make("another CA");
    ASSERT_TRUE(authority && other);
    auto server = authority->issue_server({"localhost", "127.0.0.1"});
    auto anna = authority->issue_client("anna", {"staff"});
    ASSERT_TRUE(server && anna);
    ca_ = authority->pem();
    other_ca_ = other->pem();
    anna_ = *anna;
    net::TlsConfig config;
    config.ca_pem = ca_;
    config.cert_pem = server->certificate_pem;
    config.key_pem = server->key_pem;
    config.alpn = {"http/1.1"};
    config.client_certificates = net::ClientCertificates::request;
    auto tls = net::TlsContext::for_server(config);
    ASSERT_TRUE(tls);
    tls_.emplace(std::move(*tls));
    for (HttpServer* const each : {&a_, &b_, &plain_}) {
      if (each != &plain_) each->use_tls(&*tls_);
      each->script([](ServedRequest const&) {
        return reply(403, R"({"kind":"Status","apiVersion":"v1","status":"Failure","code":403})",
                     "Content-Type: application/json\r\n");
      });
      each->start();
    }
  }
  void TearDown() override {
    for (HttpServer* const each : {&a_, &b_, &plain_}) {
      asio::post(loop_, [each] { each->cancel(); });
    }
    loop_.restart();
    loop_.run_for(20s);
    EXPECT_TRUE(a_.idle() && b_.idle() && plain_.idle());
    if (!root_.empty()) fs::remove_all(root_);
  }

  // A directory for the row, with its files and the ones that any row may name.
  fs::path lay_out(KubeconfigRow const& row) {
    fs::path const folder = root_ / std::to_string(++rows_);
    fs::create_directories(folder / "sub");
    fs::create_directories(folder / "home/.kube");
    for (fs::path const& where : {folder, folder / "sub"}) {
      std::ofstream(where / "ca.pem") << ca_;
      std::ofstream(where / "cert.pem") << anna_.certificate_pem;
      std::ofstream(where / "key.pem") << anna_.key_pem;
      std::ofstream(where / "token") << " from-file \n";
      std::ofstream(where / "empty");
    }
    std::ofstream(folder / "login.sh")
        << "#!/bin/sh\necho '{\"kind\":\"ExecCredential\",\"apiVersion\":"
           "\"client.authentication.k8s.io/v1\",\"status\":{\"token\":\"from-plugin\"}}'\n";
    fs::permissions(folder / "login.sh", fs::perms::owner_all);
    for (auto const& [name, text] : row.files) {
      std::ofstream(folder / name, std::ios::binary) << filled_in(text, folder);
    }
    return folder;
  }

  std::string filled_in(std::string text, fs::path const& folder) const {
    replace_all(text, "@A@", fmt::format("https://127.0.0.1:{}", a_.port()));
    replace_all(text, "@B@", fmt::format("https://127.0.0.1:{}", b_.port()));
    replace_all(text, "@APORT@", std::to_string(a_.port()));
    replace_all(text, "@PLAIN@", fmt::format("http://127.0.0.1:{}", plain_.port()));
    replace_all(text, "@PLAINHOST@", fmt::format("127.0.0.1:{}", plain_.port()));
    replace_all(text, "@CA@", base64(ca_));
    replace_all(text, "@OTHERCA@", base64(other_ca_));
    replace_all(text, "@CERT@", base64(anna_.certificate_pem));
    replace_all(text, "@KEY@", base64(anna_.key_pem));
    replace_all(text, "@DIR@", folder.string());
    return text;
  }

  // What the servers have got since the last call: "A/prefix shop token:t as:bob", or "refused".
  std::string take_arrived() {
    std::string said;
    for (auto const& [name, server, seen] :
         {std::tuple("A", &a_, &seen_a_), {"B", &b_, &seen_b_}, {"PLAIN", &plain_, &seen_plain_}}) {
      for (; *seen < server->requests().size(); ++*seen) {
        // GKE's kubectl asks for the version first, to choose another of itself.
        if (server->requests()[*seen].target.find(kRest) == std::string::npos) continue;
        if (!said.empty()) said += " then ";
        said += name + describe(server->requests()[*seen]);
      }
    }
    return said.empty() ? "refused" : said;
  }

  static std::string describe(ServedRequest const& request) {
    auto const path = request.target.find(kPath);
    auto const end = request.target.find(kRest);
    if (path == request.target.npos) return request.target;
    std::string text = request.target.substr(0, path) + " ";
    text += request.target.substr(path + kPath.size(), end - path - kPath.size());
    if (request.target.size() > end + kRest.size()) {
      text += " +" + request.target.substr(end + kRest.size());
    }
    if (!request.client_name.empty()) text += " cert:" + request.client_name;
    for (auto const& [name, value] : request.headers) {
      if (name == "authorization") text += " " + value;
      if (name.starts_with("impersonate-")) text += " " + name.substr(12) + ":" + value;
    }
    text.erase(text.find_last_not_of(' ') + 1);  // a header's value never ends in a space
    return text;
  }

  template <class T>
  T run(awaitable<T> task) {
    std::optional<T> result;
    TaskGroup tasks(loop_.get_executor());
    tasks.spawn(store(std::move(task), result));
    auto const limit = Clock::now() + 60s;
    while (!tasks.empty() && Clock::now() < limit) {
      loop_.restart();
      loop_.run_one_until(limit);
    }
    if (!result) throw std::runtime_error("it did not end");
    return std::move(*result);
  }
  template <class T>
  static awaitable<void> store(awaitable<T> task, std::optional<T>& result) {
    result = co_await std::move(task);
  }

  struct Verdict {
    std::string arrived;
    std::string said;  // to explain a difference
  };

  awaitable<Verdict> ask_kubectl(KubeconfigRow const& row, fs::path const& folder) {
    std::string command = "cd \"$1\" && shift && exec \"$@\"";
    std::vector<std::string> words{"/bin/sh", "-c",     command, "sh", folder.string(),
                                   kubectl_,  "create", "token", "x"};
    if (!row.explicit_path.empty())
      words.push_back("--kubeconfig=" + filled_in(row.explicit_path, folder));
    if (!row.context.empty()) words.push_back("--context=" + row.context);
    std::vector<std::string> env{"HOME=" + (folder / "home").string(), "PATH=/usr/bin:/bin"};
    if (row.list) env.push_back("KUBECONFIG=" + *row.list);
    test::ChildProcess child(loop_.get_executor(), std::move(words), std::move(env));
    int const code = co_await child.wait();
    static_cast<void>(code);
    Verdict verdict;
    verdict.said = child.output();
    verdict.arrived = take_arrived();
    co_return verdict;
  }

  awaitable<Verdict> ask_ourselves(KubeconfigRow const& row, fs::path const& folder) {
    Verdict verdict;
    verdict.said = "the request was sent";
    verdict.arrived = "refused";
    ClusterPool pool(loop_.get_executor(), resolver_, environment(row, folder));
    auto const found = pool.find(filled_in(row.explicit_path, folder), row.context);
    if (found.has_error()) {
      verdict.said = found.error().text;
      co_return verdict;
    }
    std::string target = fmt::format("{}{}{}", kPath, found->namespace_, kRest);
    auto const answer =
        co_await found->cluster->rest().post(std::move(target), "{}", Clock::now() + 20s);
    if (answer.has_error()) verdict.said = answer.error().text;
    co_await pool.stop();
    verdict.arrived = take_arrived();
    co_return verdict;
  }

  static Environment environment(KubeconfigRow const& row, fs::path const& folder) {
    Environment environment = system_environment();
    environment.working_directory = folder.string();
    environment.variable = [&row, folder](std::string const& name) -> std::optional<std::string> {
      if (name == "HOME") return (folder / "home").string();
      if (name == "KUBECONFIG") return row.list;
      return std::nullopt;
    };
    return environment;
  }

  asio::io_context loop_;
  net::Resolver resolver_{loop_.get_executor()};
  fs::path root_;
  int rows_ = 0;
  std::string ca_;
  std::string other_ca_;
  lab::CertificateAndKey anna_;
  std::optional<net::TlsContext> tls_;
  HttpServer a_{loop_.get_executor()};
  HttpServer b_{loop_.get_executor()};
  HttpServer plain_{loop_.get_executor()};
  std::size_t seen_a_ = 0;
  std::size_t seen_b_ = 0;
  std::size_t seen_plain_ = 0;
  std::string kubectl_;
};

TEST_F(KubeconfigTableTest, EachRowArrivesAsTheTableSays) {
  for (KubeconfigRow const& row : kubeconfig_table()) {
    auto const verdict = run(ask_ourselves(row, lay_out(row)));
    EXPECT_EQ(verdict.arrived, row.expected) << row.name << ": " << verdict.said;
  }
}

TEST_F(KubeconfigTableTest, KubectlDoesTheSame) {
  kubectl_ = test::find_kubectl();
  if (kubectl_.empty() || test::kubectl_minor_version(kubectl_) < kOldestKubectl) {
    GTEST_SKIP() << "no kubectl of 1." << kOldestKubectl << " or later: set KPORTAL_KUBECTL";
  }
  std::size_t same = 0;
  std::size_t differs = 0;
  for (KubeconfigRow const& row : kubeconfig_table()) {
    auto const verdict = run(ask_kubectl(row, lay_out(row)));
    EXPECT_EQ(verdict.arrived, row.kubectl.value_or(row.expected))
        << row.name << ": " << verdict.said;
    ++(row.kubectl ? differs : same);
  }
  std::printf("%zu rows as kubectl, %zu differ on purpose\n", same, differs);
}

}  // namespace
}  // namespace kportal::k8s
