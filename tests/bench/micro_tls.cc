// SPDX-License-Identifier: MIT
#include <array>
#include <benchmark/benchmark.h>
#include <vector>

#include <openssl/evp.h>

#include "tests/bench/micro_tls_pair.h"

namespace kportal::bench {
namespace {

constexpr int kRecord = 16 * 1024;

void count_bytes(benchmark::State& state, std::size_t each) {
  state.SetBytesProcessed(static_cast<std::int64_t>(each) * state.iterations());
}

// The limit: the cipher alone, record by record.
void aes_gcm(benchmark::State& state) {
  std::vector<unsigned char> const clear(kRecord);
  std::vector<unsigned char> sealed(kRecord + 16);
  std::array<unsigned char, 32> const key{};
  std::array<unsigned char, 12> const nonce{};
  EVP_CIPHER_CTX* const cipher = EVP_CIPHER_CTX_new();
  EVP_EncryptInit_ex(cipher, EVP_aes_256_gcm(), nullptr, key.data(), nonce.data());
  for (auto _ : state) {
    int size = 0;
    EVP_EncryptInit_ex(cipher, nullptr, nullptr, nullptr, nonce.data());
    EVP_EncryptUpdate(cipher, sealed.data(), &size, clear.data(), kRecord);
    EVP_EncryptFinal_ex(cipher, sealed.data(), &size);
    benchmark::DoNotOptimize(sealed.data());
  }
  EVP_CIPHER_CTX_free(cipher);
  count_bytes(state, kRecord);
}
BENCHMARK(aes_gcm);

void tls_write(benchmark::State& state) {
  TlsPair pair;
  std::vector<std::byte> const clear(static_cast<std::size_t>(state.range(0)));
  for (auto _ : state) {
    benchmark::DoNotOptimize(pair.client().encrypt(clear));
    while (pair.client().has_output()) {
      auto const out = pair.client().take_output();
      benchmark::DoNotOptimize(out.data().data());
    }
  }
  count_bytes(state, clear.size());
}
BENCHMARK(tls_write)->Arg(80)->Arg(Chunk::kPayload);

// Sealed by the other end, opened here: what both cost.
void tls_write_and_read(benchmark::State& state) {
  TlsPair pair;
  std::vector<std::byte> const clear(static_cast<std::size_t>(state.range(0)));
  std::vector<std::byte> opened(clear.size());
  for (auto _ : state) {
    benchmark::DoNotOptimize(pair.server().encrypt(clear));
    while (pair.server().has_output()) {
      pair.client().feed(pair.server().take_output());
      while (pair.client().decrypt(opened).size > 0) benchmark::DoNotOptimize(opened.data());
    }
  }
  count_bytes(state, clear.size());
}
BENCHMARK(tls_write_and_read)->Arg(80)->Arg(Chunk::kPayload);

}  // namespace
}  // namespace kportal::bench
