#pragma once

#include <algorithm>
#include <cstdint>

#include "hmrnn/ops/hm_lstm_arguments.h"

// How threads share a window: by rows of the batch, or each of its products by columns.
//
// By rows, a thread computes all steps of the window for a share of the batch rows, without waiting for other threads.
// But each share reads all weights, and its products have fewer rows. By columns, each thread reads only its part of
// the weights, but threads synchronise after every product, some hundred times in a window.

namespace hmrnn::cpu {

/// Rows [begin, end) of a batch
struct BatchRows {
  int64_t begin = 0, end = 0;
  int64_t size() const { return end - begin; }
};

/// Share i of `count` of a batch
inline BatchRows rows_of_share(int64_t batch, int64_t i, int64_t count) {
  return {batch * i / count, batch * (i + 1) / count};
}

/// The rule: into how many shares the rows of a batch are divided; 1: threads share the products by columns. `bytes`:
/// of the weights of the largest layer; `cache`: of a core's second-level cache.
///
/// Weights of at most kCaches such caches (3×128 where it is 512 KiB): batch / kShareRows shares, at least two; one if
/// the batch has fewer than kShareRows rows. Larger ones: columns. The number does not depend on that of the threads,
/// so that sums over rows, which are computed share by share, are the same bits for any number of threads.
///
/// A cache above kMostCache counts as kMostCache, since shares of 16 rows are small products even where the weights
/// fit. Time relative to columns with caches of 2 MiB, two threads, batch 64, over firing rates from (0.21, 0.035) to
/// (1, 1): float32 3×128, 4 shares 0.95 to 0.99, 2 shares 0.90; 3×192, 0.97 to 1.09 and 0.91 to 0.94; 3×256, 1.09
/// to 1.20 and 0.99 to 1.12; bfloat16 3×256, 1.11 to 1.20 and 0.90 to 1.08; 3×384, 1.29 to 1.35 and 1.01 to 1.05 (at
/// the two lower rates). With one thread, 3×256 in 2 shares: 1.19 to 1.30, bfloat16 1.20 to 1.40.
constexpr int64_t kCaches = 2, kMostCache = int64_t{512} * 1024, kShareRows = 16;
constexpr int64_t row_shares(int64_t batch, int64_t bytes, int64_t cache) {
  if (bytes > kCaches * std::min(cache, kMostCache)) return 1;
  return batch >= kShareRows ? std::max<int64_t>(batch / kShareRows, 2) : 1;
}

/// The same for a window.
int64_t row_shares(const HMLSTMArguments& a);

}  // namespace hmrnn::cpu
