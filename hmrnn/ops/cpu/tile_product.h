#pragma once

#include <c10/util/BFloat16.h>

#include <cstdint>

namespace hmrnn::cpu {

/// Values of k of a tile. brgemm divides any other k into equal parts, however short.
constexpr int64_t kTileDepth = 32;

/// Whether ATen's brgemm multiplies bfloat16 here with AMX.
bool has_tile_products();
/// Whether it may now: not while oneDNN is switched off (at::globalContext().setUserEnabledMkldnn).
bool tile_products_enabled();

/// sums [m, width] of float = x [m, k], rows `stride` values apart, times a panel of pairs [k/2, width, 2]; k is a
/// multiple of kTileDepth. The thread's tiles stay configured until end_tile_products(), before which no other code of
/// it may use tiles. For each m, k and stride brgemm compiles a kernel once per thread, and keeps it.
void tile_product(int64_t m, int64_t k, const c10::BFloat16* x, int64_t stride, const c10::BFloat16* panel,
                  int64_t width, float* sums);
/// Gives the thread's tiles back; nothing if oneDNN is switched off.
void end_tile_products();

}  // namespace hmrnn::cpu
