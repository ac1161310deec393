#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

namespace hmrnn {

/// SplitMix64 (Steele, Lea and Flood, 2014): 64 bits of state, the same numbers on every machine.
class SplitMix64 {
 public:
  /// The numbers depend only on the seed, on every machine.
  explicit SplitMix64(uint64_t seed) : state_(seed) {}

  /// Uniform over all 2^64 values.
  uint64_t next() {
    uint64_t x = state_ += 0x9e3779b97f4a7c15U;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9U;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebU;
    return x ^ (x >> 31);
  }
  /// 0 … bound-1. The bias of the modulo is below 2^-40 for bounds under 2^24.
  uint64_t below(uint64_t bound) { return next() % bound; }
  /// True with a probability of `percent` %.
  bool chance(uint64_t percent) { return below(100) < percent; }
  /// Uniform in [low, high), on a grid of 2^-53 of the range.
  double between(double low, double high) { return low + (high - low) * (static_cast<double>(next() >> 11) * 0x1p-53); }
  /// Fisher-Yates shuffle.
  template <typename T>
  void shuffle(std::vector<T>& items) {
    for (size_t i = items.size(); i > 1; --i) std::swap(items[i - 1], items[below(i)]);
  }

 private:
  uint64_t state_;
};

}  // namespace hmrnn
