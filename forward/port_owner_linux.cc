// SPDX-License-Identifier: MIT
#include <algorithm>
#include <arpa/inet.h>
#include <array>
#include <charconv>
#include <cstring>
#include <dirent.h>
#include <fstream>
#include <memory>
#include <set>
#include <sstream>
#include <string_view>
#include <unistd.h>
#include <vector>

#include <fmt/format.h>

#include "forward/port_owner.h"

namespace kportal::forward {
namespace {

// Processes looked at, so that a machine with very many does not stop the loop for long.
constexpr int kMaxProcesses = 20'000;
constexpr std::string_view kListening = "0A";  // TCP_LISTEN in /proc/net/tcp

struct CloseDir {
  void operator()(DIR* dir) const { closedir(dir); }
};
using Dir = std::unique_ptr<DIR, CloseDir>;

// IPv4 as ::ffff:a.b.c.d.
using Address = std::array<unsigned char, 16>;
constexpr Address kAnyV4{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF};
constexpr Address kAnyV6{};

bool is_v4(Address const& address) {
  return std::equal(address.begin(), address.begin() + 12, kAnyV4.begin());
}

// A socket on :: may take IPv4 as well.
bool meet(Address const& ours, Address const& theirs) {
  if (ours == theirs || theirs == kAnyV6) return true;
  if (is_v4(ours) != is_v4(theirs)) return false;
  return ours == kAnyV4 || ours == kAnyV6 || theirs == kAnyV4;
}

std::vector<Address> parse(std::span<std::string const> texts) {
  std::vector<Address> addresses;
  for (std::string const& text : texts) {
    bool const local = text == "localhost";
    Address v4 = kAnyV4;
    Address v6 = kAnyV6;
    char const* const as_v4 = local ? "127.0.0.1" : text.c_str();
    char const* const as_v6 = local ? "::1" : text.c_str();
    if (::inet_pton(AF_INET, as_v4, v4.data() + 12) == 1) addresses.push_back(v4);
    if (::inet_pton(AF_INET6, as_v6, v6.data()) == 1) addresses.push_back(v6);
  }
  return addresses;
}

// "0100007F", or four such words: each in this machine's order of bytes.
Address parse_hex(std::string_view text) {
  constexpr std::size_t kWord = 8;
  Address address = text.size() == kWord ? kAnyV4 : kAnyV6;
  std::size_t at = text.size() == kWord ? 12 : 0;
  for (; text.size() >= kWord && at < address.size(); at += 4) {
    std::uint32_t word = 0;
    std::from_chars(text.data(), text.data() + kWord, word, 16);
    std::memcpy(address.data() + at, &word, sizeof word);
    text.remove_prefix(kWord);
  }
  return address;
}

// The socket inodes that listen there, from a table such as /proc/net/tcp.
void collect_inodes(char const* table, std::vector<Address> const& addresses, std::uint16_t port,
                    std::set<std::string>& inodes) {
  std::ifstream file(table);
  std::string line;
  std::getline(file, line);  // the head
  std::string const suffix = fmt::format(":{:04X}", port);
  while (std::getline(file, line)) {
    std::istringstream fields(line);
    std::string slot, local, remote, state, skipped, inode;
    fields >> slot >> local >> remote >> state;
    for (int i = 0; i < 5; ++i) fields >> skipped;
    fields >> inode;
    if (state != kListening || !local.ends_with(suffix)) continue;
    Address const theirs = parse_hex(local.substr(0, local.size() - suffix.size()));
    bool const met = std::any_of(addresses.begin(), addresses.end(),
                                 [&](Address const& ours) { return meet(ours, theirs); });
    if (met) inodes.insert("socket:[" + inode + "]");
  }
}

bool holds_one_of(std::string const& process_dir, std::set<std::string> const& sockets) {
  std::string const fd_dir = process_dir + "/fd";
  Dir const dir(opendir(fd_dir.c_str()));
  if (!dir) return false;
  while (dirent const* const entry = readdir(dir.get())) {
    char target[64];
    std::string const link = fd_dir + "/" + entry->d_name;
    auto const length = readlink(link.c_str(), target, sizeof target);
    if (length > 0 && sockets.contains(std::string(target, static_cast<std::size_t>(length)))) {
      return true;
    }
  }
  return false;
}

}  // namespace

std::optional<PortOwner> find_port_owner(std::span<std::string const> texts, std::uint16_t port) {
  auto const addresses = parse(texts);
  std::set<std::string> sockets;
  collect_inodes("/proc/net/tcp", addresses, port, sockets);
  collect_inodes("/proc/net/tcp6", addresses, port, sockets);
  Dir const proc(opendir("/proc"));
  if (sockets.empty() || !proc) return std::nullopt;
  for (int seen = 0; seen < kMaxProcesses; ++seen) {
    dirent const* const entry = readdir(proc.get());
    if (entry == nullptr) break;
    std::string_view const name = entry->d_name;
    PortOwner owner;
    auto const [end, error] = std::from_chars(name.data(), name.data() + name.size(), owner.pid);
    if (error != std::errc() || end != name.data() + name.size()) continue;
    std::string const process_dir = fmt::format("/proc/{}", owner.pid);
    if (!holds_one_of(process_dir, sockets)) continue;
    std::ifstream comm(process_dir + "/comm");
    std::getline(comm, owner.process);
    return owner;
  }
  return std::nullopt;
}

}  // namespace kportal::forward
