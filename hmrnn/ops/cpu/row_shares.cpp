#include "hmrnn/ops/cpu/row_shares.h"

#if defined(__linux__)
#include <unistd.h>
#endif

#include <cstdlib>

#include "hmrnn/ops/cpu/product.h"

namespace hmrnn::cpu {

namespace {

/// HMRNN_ROW_SHARES=N: N shares instead of the rule's, at most one per row; for tests and measurements.
int64_t wanted_shares() {
  const char* wanted = std::getenv("HMRNN_ROW_SHARES");
  return wanted != nullptr ? std::max<int64_t>(std::atoll(wanted), 0) : 0;
}

/// Bytes of a core's second-level cache.
int64_t second_level_cache() {
  static const int64_t bytes = [] {
#if defined(_SC_LEVEL2_CACHE_SIZE)
    if (const auto known = sysconf(_SC_LEVEL2_CACHE_SIZE); known > 0) return static_cast<int64_t>(known);
#endif
    return int64_t{512} * 1024;
  }();
  return bytes;
}

/// Whether several threads can compute products independently: not with oneDNN's packed linear layer,
/// nor where the weights are rounded first.
bool independent_products(const HMLSTMArguments& a) {
  return !a.bfloat16() || choose_backend<c10::BFloat16>() == ProductBackend::Rows;
}

}  // namespace

int64_t row_shares(const HMLSTMArguments& a) {
  const int64_t batch = a.batch();
  if (!independent_products(a) || a.steps() == 0 || batch == 0) return 1;
  if (const auto wanted = wanted_shares(); wanted > 0) return std::min(wanted, batch);
  const auto value = a.bfloat16() ? 2 : static_cast<int64_t>(a.window.h0[0].element_size());
  int64_t bytes = 0;
  for (int64_t l = 0; l < a.num_layers(); ++l) {
    const auto& y = a.layers[l];
    const int64_t features = y.units() + (l > 0 ? y.bottom_up.size(1) : 0) + (a.top(l) ? 0 : a.units(l + 1));
    bytes = std::max(bytes, 4 * y.units() * features * value);
  }
  auto shares = row_shares(batch, bytes, second_level_cache());
  // Each share has its own sums for all rows of a table: it should have at least as many steps as the table has rows.
  if (a.indexed()) shares = std::min(shares, std::max<int64_t>(a.steps() * batch / a.window.input.size(0), 1));
  return shares;
}

}  // namespace hmrnn::cpu
