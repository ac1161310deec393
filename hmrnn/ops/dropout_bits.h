#pragma once

// Recurrent dropout (Semeniuta, Severyn and Barth 2016): an UPDATE or FLUSH writes i ⊙ m ⊙ g in place of i ⊙ g, where m
// is 0 with probability p and else 1/(1-p), unit by unit. Which units are dropped is a function of a seed and a
// position, so that nothing is stored: the backward pass recomputes it.
//
// A position is a layer, a row of the batch, a unit and the number of the state that the step ends (not the time step).
// So nothing is drawn at a COPY, and what an UPDATE or FLUSH would have written there, which the gradients of z need,
// is constant over a run of COPYs.
//
// ops/recurrent_dropout.h has the same in ATen's operators, for the reference.

#include <cstdint>

#include "hmrnn/ops/host_device.h"

namespace hmrnn::cell {

constexpr int kDropoutBits = 24;  ///< random bits of a unit; p is rounded to so many bits

/// A unit is dropped if its bits are below this; 0: none is.
inline uint32_t dropout_threshold(double p) { return static_cast<uint32_t>(p * (1 << kDropoutBits) + 0.5); }

/// The finaliser of SplitMix64 (Stafford's thirteenth variant).
HMRNN_HOST_DEVICE HMRNN_INLINE uint64_t mix64(uint64_t x) {
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
  return x ^ (x >> 31);
}

/// Replaces the number of a unit, or those of a vector of units, by their random bits: two rounds of multiplication and
/// shift ("low bias 32" of Wellons's hash prospector), each with one half of the key.
template <class Units>
HMRNN_HOST_DEVICE HMRNN_INLINE void unit_bits(Units& x, uint32_t first, uint32_t second) {
  x = x ^ first;
  x = (x ^ (x >> 16)) * 0x7feb352du;
  x = (x ^ (x >> 15)) + second;
  x = x * 0x846ca68bu;
  x = (x ^ (x >> 16)) >> (32 - kDropoutBits);
}

/// The dropout of one active step of one row.
template <class T>
struct Dropout {
  uint32_t threshold = 0;
  T scale = T(1);  ///< 1/(1-p)
  uint32_t first = 0, second = 0;

  HMRNN_HOST_DEVICE HMRNN_INLINE bool on() const { return threshold != 0; }
  /// m of a unit
  HMRNN_HOST_DEVICE HMRNN_INLINE T factor(uint32_t unit) const {
    unit_bits(unit, first, second);
    return unit < threshold ? T(0) : scale;
  }
};

/// The dropout of a window, without its seed.
template <class T>
struct DropoutRule {
  uint32_t threshold = 0;
  T scale = T(1);

  DropoutRule() = default;
  explicit DropoutRule(double p) : threshold(dropout_threshold(p)), scale(static_cast<T>(1 / (1 - p))) {}

  HMRNN_HOST_DEVICE HMRNN_INLINE bool on() const { return threshold != 0; }
  /// `state`: the number of the state that the step ends, 0 for the initial one.
  HMRNN_HOST_DEVICE Dropout<T> of(int64_t seed, int64_t layer, int64_t row, int64_t state) const {
    constexpr uint64_t kGolden = 0x9e3779b97f4a7c15u;
    uint64_t key = static_cast<uint64_t>(seed);
    key = mix64(key + kGolden * static_cast<uint64_t>(layer + 1));
    key = mix64(key + kGolden * static_cast<uint64_t>(row + 1));
    key = mix64(key + kGolden * static_cast<uint64_t>(state + 1));
    return {threshold, scale, static_cast<uint32_t>(key), static_cast<uint32_t>(key >> 32)};
  }
};

}  // namespace hmrnn::cell
