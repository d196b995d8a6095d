// SPDX-License-Identifier: MIT
#include "base/chunk.h"

#include <algorithm>
#include <utility>
#include <vector>

namespace kportal {
namespace {

constexpr std::size_t kFullSize = Chunk::kHeadroom + Chunk::kPayload;
// 1 MiB kept for reuse at the most: what a few busy connections have in flight.
constexpr std::size_t kMaxPooled = 16;

struct Pool {
  std::vector<std::byte*> free;
  Pool() { free.reserve(kMaxPooled); }
  ~Pool() {
    for (std::byte* storage : free) delete[] storage;
  }
};

Pool& pool() {
  thread_local Pool instance;
  return instance;
}

}  // namespace

Chunk::Chunk(std::size_t payload)
    : capacity_(kHeadroom + payload), begin_(kHeadroom), end_(kHeadroom) {
  auto& free = pool().free;
  if (capacity_ == kFullSize && !free.empty()) {
    storage_ = free.back();
    free.pop_back();
  } else {
    storage_ = new std::byte[capacity_];
  }
}

Chunk Chunk::copy_of(Bytes bytes) {
  Chunk chunk(bytes.size());
  chunk.append(bytes);
  return chunk;
}

Chunk::Chunk(Chunk&& other) noexcept
    : storage_(std::exchange(other.storage_, nullptr)),
      capacity_(std::exchange(other.capacity_, 0)),
      begin_(std::exchange(other.begin_, 0)),
      end_(std::exchange(other.end_, 0)) {}

Chunk& Chunk::operator=(Chunk&& other) noexcept {
  if (this != &other) {
    release();
    storage_ = std::exchange(other.storage_, nullptr);
    capacity_ = std::exchange(other.capacity_, 0);
    begin_ = std::exchange(other.begin_, 0);
    end_ = std::exchange(other.end_, 0);
  }
  return *this;
}

Chunk::~Chunk() {
  release();
}

void Chunk::release() noexcept {
  if (storage_ == nullptr) return;
  auto& free = pool().free;
  if (capacity_ == kFullSize && free.size() < kMaxPooled) {
    free.push_back(storage_);
  } else {
    delete[] storage_;
  }
  storage_ = nullptr;
}

void Chunk::commit(std::size_t n) {
  assert(n <= capacity_ - end_);
  end_ += n;
}

void Chunk::append(Bytes bytes) {
  assert(bytes.size() <= capacity_ - end_);
  std::copy(bytes.begin(), bytes.end(), storage_ + end_);
  end_ += bytes.size();
}

MutableBytes Chunk::prepend(std::size_t n) {
  assert(n <= begin_);
  begin_ -= n;
  return {storage_ + begin_, n};
}

}  // namespace kportal
