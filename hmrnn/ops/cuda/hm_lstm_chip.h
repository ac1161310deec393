#pragma once

// How the blocks of a persistent kernel share a window's weights (hm_lstm_persistent.cu), one block a
// multiprocessor, each of which keeps its share in shared memory from the first step to the last. Free of CUDA.
//
// The weights of layer l are the matrix [width, d] that its state is multiplied by (LayerShape). Forwards the product
// is h [B, d] → [B, width]: a block has some columns of the result, for all of the sum over d. Backwards it is [B,
// width] → dh [B, d], few columns and long sums: a block has up to kChunk columns for a part of the sum, and the
// reader of the result adds the parts. Layers that share a wave (hm_lstm_window.h), the even ones and the odd ones, are
// divided together, so that all blocks have a share of each wave.

#include <cstdint>
#include <optional>
#include <vector>

#include "hmrnn/ops/cuda/hm_lstm_plan.h"

namespace hmrnn::cuda {

constexpr int64_t kTile = 16;         ///< rows, columns and depth of one product of the tensor cores
constexpr int64_t kChunk = 64;        ///< most columns of a block backwards
constexpr int64_t kPadding = 8;       ///< values after each row in shared memory, so that rows begin in different banks
constexpr int64_t kMaxParts = 16;     ///< of a sum
constexpr int kMaxCells = 12;         ///< of a block
constexpr int kMaxChipLayers = 4;     ///< so that the layers' plans fit into the kernel's arguments
constexpr int kLayerBytes = 512;      ///< largest size of LayerForwardPlan and LayerBackwardPlan
constexpr int kChipThreads = 256;     ///< most of a block
constexpr int64_t kMinChipSteps = 4;  ///< of a window: with fewer, copying the weights costs more than it saves

/// Limits of a device; `blocks` 0: it has no persistent kernel.
struct ChipDevice {
  int blocks = 0;            ///< number of blocks that are resident together
  int64_t shared_bytes = 0;  ///< of one block, at most
};

/// How the product of one layer is divided into units: parts × chunks of them, the chunks of a part consecutive.
struct ChipProduct {
  int64_t columns = 0;     ///< of the result
  int64_t chunk = 0;       ///< columns of a unit
  int64_t depth = 0;       ///< of the sum
  int64_t part_depth = 0;  ///< of a unit's sum
  int64_t parts = 0;

  HMRNN_HOST_DEVICE int64_t chunks() const { return (columns + chunk - 1) / chunk; }
  HMRNN_HOST_DEVICE int64_t units() const { return chunks() * parts; }
};

/// A rectangle of a layer's weights that a block keeps, stored with one row for each column of the result.
struct ChipCell {
  int layer = 0;
  int part = 0;
  int column = 0;  ///< of the result
  int columns = 0;
  int begin = 0;  ///< of the sum
  int depth = 0;
  int weights = 0;  ///< where its weights begin in the block's shared memory, in values

  HMRNN_HOST_DEVICE int stride() const { return depth + static_cast<int>(kPadding); }  ///< of their rows there
};

/// The header of a block's shared memory, before operand and weights.
struct ChipHeader {
  BlockMemory sums;  ///< of the rows
  ChipCell cell[kMaxCells];
  int cells;
  /// Copies of the layers' plans: reading a kernel's arguments with a variable index is slower.
  alignas(32) unsigned char layers[kMaxChipLayers][kLayerBytes];
};

/// One direction of a window on a device.
struct ChipPlan {
  int blocks = 0;
  int threads = 0;  ///< of a block
  int layers = 0;
  bool forward = true;
  int64_t rows = 0;           ///< of the batch that are multiplied at a time
  int64_t staged_stride = 0;  ///< values of a row of the operand in shared memory
  int64_t shared_bytes = 0;   ///< of a block
  ChipProduct product[kMaxChipLayers];
};

/// f(cell) for the cells of a block, the even layers' first.
template <class F>
HMRNN_HOST_DEVICE void each_cell(const ChipPlan& plan, int64_t block, F f) {
  int weights = 0;
  for (int odd = 0; odd < 2; ++odd) {
    int64_t units = 0;
    for (int l = odd; l < plan.layers; l += 2) units += plan.product[l].units();
    const int64_t begin = block * units / plan.blocks, end = (block + 1) * units / plan.blocks;
    int64_t before = 0;  // units of the layers below
    for (int l = odd; l < plan.layers; l += 2) {
      const auto& p = plan.product[l];
      const int64_t chunks = p.chunks();
      int64_t unit = begin > before ? begin - before : 0;
      const int64_t last = end - before < p.units() ? end - before : p.units();
      while (unit < last) {  // neighbours of the same part are one cell
        const int64_t part = unit / chunks;
        const int64_t next = (part + 1) * chunks < last ? (part + 1) * chunks : last;
        const int64_t stop = (next - part * chunks) * p.chunk;
        ChipCell cell;
        cell.layer = l;
        cell.part = static_cast<int>(part);
        cell.column = static_cast<int>((unit - part * chunks) * p.chunk);
        cell.columns = static_cast<int>(stop < p.columns ? stop : p.columns) - cell.column;
        cell.begin = static_cast<int>(part * p.part_depth);
        const int64_t left = p.depth - cell.begin;
        cell.depth = static_cast<int>(left < p.part_depth ? left : p.part_depth);
        cell.weights = weights;
        weights += cell.stride() * cell.columns;
        f(cell);
        unit = next;
      }
      before += p.units();
    }
  }
}

/// nullopt if the window does not fit: `batch` and all units have to be multiples of kTile, and the weights (as
/// bfloat16) have to fit into the shared memory of all blocks.
std::optional<ChipPlan> plan_chip(const std::vector<LayerShape>& layers, int64_t steps, int64_t batch, bool forward,
                                  const ChipDevice& device);

}  // namespace hmrnn::cuda
