// Stands for the toolkit's header of this name where kernels are compiled for the host: the products of the tensor
// cores that are used here, tiles of 16 × 16 × 16 in bfloat16. Which lane of a warp holds what is not specified; here
// the first holds all. The lanes meet before and after each operation.
#pragma once

#include <c10/util/BFloat16.h>

#include <cstdint>

#include "block.h"
#include "device.h"

using __nv_bfloat16 = c10::BFloat16;

namespace nvcuda::wmma {

struct matrix_a;
struct matrix_b;
struct accumulator;
struct row_major;
struct col_major;
enum layout_t { mem_row_major, mem_col_major };

constexpr int kSide = 16;

template <class Use, int m, int n, int k, class T, class Layout = void>
struct fragment {
  static_assert(m == kSide && n == kSide && k == kSide);
  float x[kSide][kSide];  // by row and column of the matrix
};

/// f in the first lane, once all are here; none goes on before it is done.
template <class F>
void in_first_lane(F f) {
  emulated_gpu::exchange(0, 0);
  if (emulated_gpu::here().thread.x % 32 == 0) f();
  emulated_gpu::exchange(0, 0);
}

/// What the hardware asks of an address: 32 bytes, rows 16 bytes apart.
inline void check_tile(const void* p, unsigned stride, size_t size) {
  if (reinterpret_cast<uintptr_t>(p) % 32 != 0 || stride * size % 16 != 0) {
    emulated_gpu::fail("a matrix for the tensor cores is not aligned");
  }
}

template <class Use, class T, class Layout>
void load_matrix_sync(fragment<Use, kSide, kSide, kSide, T, Layout>& to, const T* p, unsigned stride) {
  check_tile(p, stride, sizeof(T));
  constexpr bool kRows = std::is_same_v<Layout, row_major>;
  in_first_lane([&] {
    for (int i = 0; i < kSide; ++i) {
      for (int j = 0; j < kSide; ++j) (kRows ? to.x[i][j] : to.x[j][i]) = static_cast<float>(p[i * stride + j]);
    }
  });
}

inline void store_matrix_sync(float* p, const fragment<accumulator, kSide, kSide, kSide, float>& from, unsigned stride,
                              layout_t layout) {
  check_tile(p, stride, sizeof(float));
  if (layout != mem_row_major) emulated_gpu::fail("store_matrix_sync: this layout is not emulated");
  in_first_lane([&] {
    for (int i = 0; i < kSide; ++i) {
      for (int j = 0; j < kSide; ++j) p[i * stride + j] = from.x[i][j];
    }
  });
}

inline void fill_fragment(fragment<accumulator, kSide, kSide, kSide, float>& to, float value) {
  in_first_lane([&] {
    for (auto& row : to.x) {
      for (auto& x : row) x = value;
    }
  });
}

template <class T, class LayoutA, class LayoutB>
void mma_sync(fragment<accumulator, kSide, kSide, kSide, float>& to,
              const fragment<matrix_a, kSide, kSide, kSide, T, LayoutA>& a,
              const fragment<matrix_b, kSide, kSide, kSide, T, LayoutB>& b,
              const fragment<accumulator, kSide, kSide, kSide, float>& c) {
  in_first_lane([&] {
    for (int i = 0; i < kSide; ++i) {
      float sum[kSide];
      for (int j = 0; j < kSide; ++j) sum[j] = c.x[i][j];
      for (int k = 0; k < kSide; ++k) {
        for (int j = 0; j < kSide; ++j) sum[j] += a.x[i][k] * b.x[k][j];
      }
      for (int j = 0; j < kSide; ++j) to.x[i][j] = sum[j];
    }
  });
}

}  // namespace nvcuda::wmma
