#pragma once

// For *.cu files: launch parameters of the kernels whose bodies are templates on a block (block.h).

#include <cuda_runtime.h>

#include <cstdint>

#include "hmrnn/ops/cuda/block.h"
#include "hmrnn/ops/cuda/launch.h"

namespace hmrnn::cuda {

/// Values of type T in one 16 byte access.
template <class T>
constexpr int kPack = 16 / static_cast<int>(sizeof(T));

/// Threads for a row whose longest loop visits `items` packs. At most 256: more would cost more at each of the kernel's
/// barriers than they save; a row of 4·512 floats then takes two rounds.
inline unsigned threads_for(int64_t items) {
  constexpr int64_t most = 256, warp = 32;
  const int64_t wanted = (items + warp - 1) / warp * warp;
  return static_cast<unsigned>(wanted < most ? wanted : most);
}

/// What the steps of a wave have in common: grid (rows of the batch, steps), the threads that the largest step needs,
/// and whether all of them are wide.
struct WaveShape {
  dim3 blocks;
  unsigned threads = 0;
  bool wide = true;

  template <class T, class S>
  static WaveShape of(const Wave<S>& wave) {
    WaveShape out;
    int64_t units = 0;
    for (int i = 0; i < wave.count; ++i) {
      out.wide = out.wide && wave.step[i].wide;
      if (wave.step[i].units > units) units = wave.step[i].units;
    }
    out.blocks = dim3(static_cast<unsigned>(wave.step[0].batch), static_cast<unsigned>(wave.count));
    out.threads = threads_for(4 * units / (out.wide ? kPack<T> : 1));
    return out;
  }
};

}  // namespace hmrnn::cuda
