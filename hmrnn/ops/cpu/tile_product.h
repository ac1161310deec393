#pragma once

#include <c10/util/BFloat16.h>

#include <cstdint>

namespace hmrnn::cpu {

/// Whether ATen's brgemm multiplies bfloat16 here with AMX.
bool has_tile_products();

/// sums [m, width] of float = x [m, k], rows `stride` values apart, times a panel of pairs [k/2, width, 2]; k is even.
/// The thread's tiles stay configured until end_tile_products(), before which no other code of it may use tiles.
void tile_product(int64_t m, int64_t k, const c10::BFloat16* x, int64_t stride, const c10::BFloat16* panel,
                  int64_t width, float* sums);
void end_tile_products();

}  // namespace hmrnn::cpu
