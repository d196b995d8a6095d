// SPDX-License-Identifier: MIT
// The main of a fuzzer without libFuzzer: runs it once on each file of the folders in its
// arguments, and once on nothing.
#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(std::uint8_t const* data, std::size_t size);

namespace {

void run(std::string const& bytes) {
  // Exactly as long as its allocation, so that a sanitizer sees each byte too far.
  std::vector<std::uint8_t> const input(bytes.begin(), bytes.end());
  LLVMFuzzerTestOneInput(input.data(), input.size());
}

std::vector<std::filesystem::path> files_in(std::filesystem::path const& folder) {
  std::vector<std::filesystem::path> files;
  if (!std::filesystem::exists(folder)) return files;
  for (auto const& entry : std::filesystem::recursive_directory_iterator(folder)) {
    if (entry.is_regular_file()) files.push_back(entry.path());
  }
  std::ranges::sort(files);
  return files;
}

}  // namespace

int main(int count, char** arguments) {
  std::setvbuf(stdout, nullptr, _IOLBF, 0);
  run("");
  int inputs = 0;
  for (int i = 1; i < count; ++i) {
    for (auto const& file : files_in(arguments[i])) {
      // The last line says which file it was that ended the program.
      std::printf("%s\n", file.c_str());
      std::ifstream stream(file, std::ios::binary);
      run(std::string(std::istreambuf_iterator<char>(stream), {}));
      ++inputs;
    }
  }
  if (inputs == 0) std::printf("there are no files in these folders\n");
  return inputs == 0 ? 1 : 0;
}
