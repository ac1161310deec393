#pragma once

// For *.cu files: the two instructions that a product on the tensor cores is made of, compute capability 8.0 and up.
// All lanes of a warp take part. <mma.h> has the same in larger pieces, whose loads go through generic addresses, four
// to a tile. tests/emulated_gpu has a header of this name with the same instructions for the host.

#include <cstdint>

namespace hmrnn::cuda {

/// Four tiles of 8 × 8 values of two bytes from shared memory. Lane 8i + r gives the address of row r of tile i, a
/// multiple of 16 bytes; lane 4r + c gets the values 2c and 2c+1 of row r of tile i in tile[i].
__device__ inline void load_tiles(uint32_t (&tile)[4], const void* row) {
  const auto address = static_cast<unsigned>(__cvta_generic_to_shared(row));
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(tile[0]), "=r"(tile[1]), "=r"(tile[2]), "=r"(tile[3])
               : "r"(address)
               : "memory");
}

/// sum += a · b in bfloat16, sum in float32: sum [16, 8], a [16, 16] in four tiles (upper left, lower left, upper
/// right, lower right), the transpose of b [16, 8] in two (left, right). Lane 4r + c has the columns 2c and 2c+1 of row
/// r of the sum, then those of row r + 8.
__device__ inline void multiply_add(float (&sum)[4], const uint32_t (&a)[4], uint32_t left, uint32_t right) {
  asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 "
      "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
      : "+f"(sum[0]), "+f"(sum[1]), "+f"(sum[2]), "+f"(sum[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(left), "r"(right));
}

}  // namespace hmrnn::cuda
