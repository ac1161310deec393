// Replaces the project's header of this name when kernels are compiled for the host: the same instructions, with the
// values in the same lanes.
#pragma once

#include <cstdint>
#include <cstring>

#include "block.h"
#include "device.h"

namespace hmrnn::cuda {

inline void load_tiles(uint32_t (&tile)[4], const void* row) {
  struct Lane {
    const char* row;
    uint32_t* tile;
  } own{static_cast<const char*>(row), tile};
  if (reinterpret_cast<uintptr_t>(row) % 16 != 0) emulated_gpu::fail("a tile's row is not aligned");
  emulated_gpu::check_shared(row, 16);
  emulated_gpu::with_warp(own, [](Lane* const* lanes) {
    for (int lane = 0; lane < 32; ++lane) {
      for (int i = 0; i < 4; ++i) std::memcpy(&lanes[lane]->tile[i], lanes[8 * i + lane / 4]->row + lane % 4 * 4, 4);
    }
  });
}

inline void multiply_add(float (&sum)[4], const uint32_t (&a)[4], uint32_t left, uint32_t right) {
  struct Lane {
    float* sum;
    const uint32_t* a;
    uint32_t b[2];
  } own{sum, a, {left, right}};
  emulated_gpu::with_warp(own, [](Lane* const* lanes) {
    const auto value = [](uint32_t two, int which) {
      const uint32_t bits = which == 0 ? two << 16 : two & 0xffff0000u;  // bfloat16 is the upper half of a float
      float out;
      std::memcpy(&out, &bits, 4);
      return out;
    };
    float x[16][16], y[8][16];  // a, and b transposed
    for (int lane = 0; lane < 32; ++lane) {
      const int r = lane / 4, c = lane % 4 * 2;
      for (int which = 0; which < 2; ++which) {
        for (int i = 0; i < 4; ++i) x[r + i % 2 * 8][c + i / 2 * 8 + which] = value(lanes[lane]->a[i], which);
        for (int i = 0; i < 2; ++i) y[r][c + i * 8 + which] = value(lanes[lane]->b[i], which);
      }
    }
    for (int lane = 0; lane < 32; ++lane) {
      for (int i = 0; i < 4; ++i) {
        const float* p = x[lane / 4 + i / 2 * 8];
        const float* q = y[lane % 4 * 2 + i % 2];
        float s = lanes[lane]->sum[i];
        for (int k = 0; k < 16; ++k) s += p[k] * q[k];
        lanes[lane]->sum[i] = s;
      }
    }
  });
}

}  // namespace hmrnn::cuda
