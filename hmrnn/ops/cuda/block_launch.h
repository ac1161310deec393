#pragma once

// For *.cu files: how a kernel whose body is written over a block (block.h) is launched.

#include <cuda_runtime.h>

#include <cstdint>

#include "hmrnn/ops/cuda/block.h"

namespace hmrnn::cuda {

/// Values of type T in one 16 byte access.
template <class T>
constexpr int kPack = 16 / static_cast<int>(sizeof(T));

/// Threads for a row whose longest loop visits `items` packs. 256: more than that wait longer at each of the kernel's
/// barriers than they save; a row of 4·512 floats then takes two rounds.
inline unsigned threads_for(int64_t items) {
  constexpr int64_t most = 256, warp = 32;
  const int64_t wanted = (items + warp - 1) / warp * warp;
  return static_cast<unsigned>(wanted < most ? wanted : most);
}

}  // namespace hmrnn::cuda
