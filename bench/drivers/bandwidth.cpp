// Reads 64 MiB of memory and does as little as possible with it: what hashing the same bytes is compared with. The same protocol as the
// memberlist program: "round <ms>" or "view" on stdin, one line of JSON each. Built by bench/drivers/bandwidth.ts.
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <iostream>
#include <string>
#include <vector>

namespace {

constexpr std::size_t kBytes = std::size_t{64} << 20;

// Sixteen sums side by side, so that no addition waits for the one before and the compiler uses its widest registers.
uint64_t sum(const uint64_t* words, std::size_t count) {
  uint64_t lanes[32] = {};
  for (std::size_t i = 0; i + 32 <= count; i += 32) {
    for (std::size_t lane = 0; lane < 32; lane++) lanes[lane] += words[i + lane];
  }
  uint64_t total = 0;
  for (const uint64_t lane : lanes) total += lane;
  return total;
}

double now_ns() {
  using namespace std::chrono;
  return static_cast<double>(duration_cast<nanoseconds>(steady_clock::now().time_since_epoch()).count());
}

}  // namespace

int main() {
  std::vector<uint64_t> words(kBytes / sizeof(uint64_t));
  for (std::size_t i = 0; i < words.size(); i++) words[i] = i * 0x9e3779b97f4a7c15u;
  std::string line;
  uint64_t seen = 0;
  while (std::getline(std::cin, line)) {
    if (line.rfind("round ", 0) != 0) {
      std::cout << '"' << seen << "\"" << std::endl;
      continue;
    }
    const double budget_ns = std::atof(line.c_str() + 6) * 1e6;
    std::cout << '[';
    double spent_ns = 0;
    bool first = true;
    do {
      const double start = now_ns();
      seen = sum(words.data(), words.size());
      const double took = now_ns() - start;
      spent_ns += took;
      std::cout << (first ? "" : ",") << took;
      first = false;
    } while (spent_ns < budget_ns);
    std::cout << ']' << std::endl;
  }
}
