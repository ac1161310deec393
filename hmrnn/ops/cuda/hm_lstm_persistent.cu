// The window in one launch: a block on each multiprocessor, which keeps its share of the weights in shared memory
// (hm_lstm_chip.h). A wave has two phases with a barrier of all blocks after each: the rows, which each block computes
// one after the other with the same device functions as the kernels of single steps, and the products, on the tensor
// cores.
//
// Why two: a row's layer norm needs all of its product, and a product needs all units of the rows. What a phase writes
// is in global memory (in practice in the L2 cache) and is visible after the barrier, which releases and acquires;
// nothing here may be read through the read-only path, since this kernel itself writes all of it.

#include <cooperative_groups.h>
#include <cuda_pipeline.h>

#include "hmrnn/ops/cuda/block_launch.h"
#include "hmrnn/ops/cuda/hm_lstm_persistent.h"
#include "hmrnn/ops/cuda/hm_lstm_step_backward.h"
#include "hmrnn/ops/cuda/hm_lstm_step_forward.h"
#include "hmrnn/ops/cuda/launch.h"
#include "hmrnn/ops/cuda/tensor_cores.h"

namespace hmrnn::cuda {

namespace {

using Value = c10::BFloat16;

constexpr int kWarp = 32;

// A block's shared memory: the header, the operand of a product (`rows` of its rows), weights. All pointers are derived
// from the array itself: of a stored pointer the compiler cannot infer that it points to shared memory, and would
// generate slower loads.
__device__ unsigned char* chip_memory() {
  extern __shared__ __align__(32) unsigned char memory[];
  return memory;
}
__device__ ChipHeader& header() { return *reinterpret_cast<ChipHeader*>(chip_memory()); }
template <class Layer>
__device__ Layer* layers() {
  static_assert(sizeof(Layer) <= kLayerBytes);
  return reinterpret_cast<Layer*>(header().layers);
}
__device__ Value* operand_memory() { return reinterpret_cast<Value*>(chip_memory() + sizeof(ChipHeader)); }
__device__ Value* weight_memory(const ChipPlan& chip) { return operand_memory() + chip.rows * chip.staged_stride; }

/// Starts to copy rows of `columns` values, a multiple of 8, from global to shared memory asynchronously, each warp one
/// row at a time. All threads see them after wait_for_rows().
__device__ void copy_rows(Value* to, int to_stride, const Value* from, int64_t from_stride, int rows, int columns) {
  constexpr int kTogether = 8;  // values, 16 bytes
  const int warp = static_cast<int>(threadIdx.x) / kWarp, warps = static_cast<int>(blockDim.x) / kWarp;
  const int first = static_cast<int>(threadIdx.x) % kWarp * kTogether;
  from += warp * from_stride;
  to += warp * to_stride;
  for (int row = warp; row < rows; row += warps) {
    for (int j = first; j < columns; j += kWarp * kTogether) {
      __pipeline_memcpy_async(to + j, from + j, kTogether * sizeof(Value));
    }
    from += warps * from_stride;
    to += warps * to_stride;
  }
  __pipeline_commit();
}
__device__ void wait_for_rows() {
  __pipeline_wait_prior(0);
  __syncthreads();
}

/// Copies the transpose synchronously (once per window). Loads are issued together, so that their latencies overlap.
__device__ void copy_columns(Value* to, int to_stride, const Value* from, int64_t from_stride, int rows, int columns) {
  constexpr int kTogether = 8;
  const int threads = static_cast<int>(blockDim.x), all = rows * columns;
  for (int first = static_cast<int>(threadIdx.x); first < all; first += threads * kTogether) {
    Value held[kTogether];
    HMRNN_UNROLL
    for (int k = 0; k < kTogether; ++k) {
      const int i = first + k * threads;
      if (i < all) held[k] = from[i / columns * from_stride + i % columns];
    }
    HMRNN_UNROLL
    for (int k = 0; k < kTogether; ++k) {
      const int i = first + k * threads;
      if (i < all) to[i % columns * to_stride + i / columns] = held[k];
    }
  }
}

/// Stores the layers' plans, finds the block's cells and starts to copy their weights, which all threads see after
/// wait_for_rows().
template <class Plan>
__device__ void prepare(const Plan& p) {
  using Layer = typename Plan::Layer;
  if (static_cast<int>(threadIdx.x) < p.chip.layers) layers<Layer>()[threadIdx.x] = p.layer[threadIdx.x];
  if (threadIdx.x == 0) {
    int n = 0;
    each_cell(p.chip, blockIdx.x, [&](const ChipCell& cell) { header().cell[n++] = cell; });
    header().cells = n;
  }
  __syncthreads();
  for (int i = 0; i < header().cells; ++i) {
    const ChipCell cell = header().cell[i];
    const int64_t d = layers<Layer>()[cell.layer].shape.units;
    const Value* from = p.weights[cell.layer];
    Value* to = weight_memory(p.chip) + cell.weights;
    if (p.chip.forward) {
      copy_rows(to, cell.stride(), from + cell.column * d + cell.begin, d, cell.columns, cell.depth);
    } else {
      copy_columns(to, cell.stride(), from + cell.begin * d + cell.column, d, cell.depth, cell.columns);
    }
  }
}

/// A warp's share of a product, [16·M, 16]: rows of the operand times 16 rows of weights, `depth` values each.
template <int M>
__device__ void multiply_tiles(const Value* operand, int operand_stride, const Value* weights, int weights_stride,
                               int depth, float* out, int64_t out_stride) {
  constexpr int kSide = static_cast<int>(kTile);
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  // Addresses that this lane passes to load_tiles. Order of the four tiles: upper left, lower left, upper right, lower
  // right for the operand; upper left, upper right, lower left, lower right for the weights.
  const Value* left = operand + lane % 16 * operand_stride + lane / 16 * 8;
  const Value* right = weights + (lane % 8 + lane / 16 * 8) * weights_stride + lane / 8 % 2 * 8;
  float sum[M][2][4] = {};
#pragma unroll 4
  for (int k = 0; k < depth; k += kSide) {
    uint32_t b[4];
    load_tiles(b, right + k);
    HMRNN_UNROLL
    for (int m = 0; m < M; ++m) {
      uint32_t a[4];
      load_tiles(a, left + m * kSide * operand_stride + k);
      multiply_add(sum[m][0], a, b[0], b[1]);
      multiply_add(sum[m][1], a, b[2], b[3]);
    }
  }
  float* to = out + lane / 4 * out_stride + lane % 4 * 2;
  HMRNN_UNROLL
  for (int m = 0; m < M; ++m) {
    HMRNN_UNROLL
    for (int half = 0; half < 2; ++half) {  // of the columns
      HMRNN_UNROLL
      for (int lower = 0; lower < 2; ++lower) {
        Pack<float, 2> two;
        two.v[0] = sum[m][half][2 * lower], two.v[1] = sum[m][half][2 * lower + 1];
        *reinterpret_cast<Pack<float, 2>*>(to + (m * kSide + 8 * lower) * out_stride + 8 * half) = two;
      }
    }
  }
}

/// out[B, …] of one cell; `operand` [B, …] in global memory.
__device__ void multiply(const ChipPlan& chip, const ChipCell& cell, int64_t batch, const Value* operand,
                         int64_t operand_stride, float* out, int64_t out_stride) {
  const int warp = static_cast<int>(threadIdx.x) / kWarp, warps = static_cast<int>(blockDim.x) / kWarp;
  const int rows = static_cast<int>(chip.rows), side = static_cast<int>(kTile);
  const int stride = static_cast<int>(chip.staged_stride);
  const int tall = rows % (2 * side) == 0 ? 2 : 1;  // two tiles below each other use a tile of weights twice
  const int down = rows / (tall * side), items = cell.columns / side * down;
  for (int64_t first = 0; first < batch; first += rows) {
    __syncthreads();  // the previous operand has been used
    copy_rows(operand_memory(), stride, operand + first * operand_stride + cell.begin, operand_stride, rows,
              cell.depth);
    wait_for_rows();
    for (int item = warp; item < items; item += warps) {
      const int column = item / down * side, row = item % down * tall * side;
      const Value* left = operand_memory() + row * stride;
      const Value* right = weight_memory(chip) + cell.weights + column * cell.stride();
      float* to = out + (first + row) * out_stride + cell.column + column;
      if (tall == 2) {
        multiply_tiles<2>(left, stride, right, cell.stride(), cell.depth, to, out_stride);
      } else {
        multiply_tiles<1>(left, stride, right, cell.stride(), cell.depth, to, out_stride);
      }
    }
  }
}

/// Increment of the loops over waves: a single layer has a step only in every second wave.
__device__ int64_t every(const WindowPlan<float>& w) { return w.layers == 1 ? 2 : 1; }

/// f(t, l, row of the batch) for this block's rows of a wave.
template <class F>
__device__ void each_row(int64_t wave, const WindowPlan<float>& w, F f) {
  int64_t job = blockIdx.x, first = 0;
  each_step(wave, w.steps, w.layers, [&](int64_t t, int64_t l) {
    for (; job < first + w.batch; job += gridDim.x) {
      f(t, l, job - first);
      __syncthreads();  // the sums' shared memory is free again
    }
    first += w.batch;
  });
}

/// f(t, cell) for this block's cells whose layer has a step in the wave.
template <class F>
__device__ void each_product(int64_t wave, const WindowPlan<float>& w, F f) {
  for (int i = 0; i < header().cells; ++i) {
    const ChipCell cell = header().cell[i];
    const int64_t twice = wave - cell.layer;
    if (twice < 0 || twice % 2 != 0 || twice / 2 >= w.steps) continue;
    f(twice / 2, cell);
  }
}

__global__ void __launch_bounds__(kChipThreads, 1)
    window_forward_kernel(const __grid_constant__ PersistentForward<float, Value> p) {
  auto grid = cooperative_groups::this_grid();
  ForwardPlan<float, Value> w = p.window;
  w.layer = layers<LayerForwardPlan<float, Value>>();
  const auto multiply_state = [&](const ChipCell& cell, int64_t s) {
    const auto& own = w.layer[cell.layer];
    const int64_t d = own.shape.units, row = w.slot(s) * w.batch;
    multiply(p.chip, cell, w.batch, own.h_operand + row * d, d, own.products + row * own.shape.width, own.shape.width);
  };
  prepare(p);
  for (int i = 0; i < header().cells; ++i) multiply_state(header().cell[i], 0);
  grid.sync();
  const int64_t all = waves(w.steps, w.layers);
  for (int64_t wave = 0; wave < all; wave += every(w)) {
    each_row(wave, w, [&](int64_t t, int64_t l, int64_t b) {
      step_forward<kPack<float>>(CudaBlock(&header().sums), b, forward_step(w, t, l));
    });
    if (wave + 1 == all) return;  // nothing is computed from the last state at the top
    grid.sync();
    each_product(wave, w, [&](int64_t t, const ChipCell& cell) { multiply_state(cell, t + 1); });
    grid.sync();
  }
}

__global__ void __launch_bounds__(kChipThreads, 1)
    window_backward_kernel(const __grid_constant__ PersistentBackward<float, Value> p) {
  auto grid = cooperative_groups::this_grid();
  BackwardPlan<float, Value> w = p.window;
  w.layer = layers<LayerBackwardPlan<float, Value>>();
  prepare(p);
  for (int64_t wave = waves(w.steps, w.layers) - 1; wave >= 0; wave -= every(w)) {
    each_product(wave, w, [&](int64_t t, const ChipCell& cell) {
      if (!w.read_later(t, cell.layer)) return;
      const auto& own = w.layer[cell.layer];
      const int64_t d = own.shape.units, width = own.shape.width;
      multiply(p.chip, cell, w.batch, own.d_products + (t + 1) * w.batch * width, width,
               own.through + cell.part * w.batch * d, d);
    });
    grid.sync();
    each_row(wave, w, [&](int64_t t, int64_t l, int64_t b) {
      step_backward<kPack<float>>(CudaBlock(&header().sums), b, backward_step(w, t, l));
    });
    if (wave > 0) grid.sync();
  }
}

/// All blocks have to be resident together.
template <class Plan>
cudaError_t launch_cooperative(void (*kernel)(Plan), const ChipPlan& chip, const Plan& plan, void* stream) {
  const auto error =
      cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, static_cast<int>(chip.shared_bytes));
  if (error != cudaSuccess) return error;
  void* arguments[] = {const_cast<Plan*>(&plan)};
  return cudaLaunchCooperativeKernel(kernel, dim3(static_cast<unsigned>(chip.blocks)),
                                     dim3(static_cast<unsigned>(chip.threads)), arguments,
                                     static_cast<size_t>(chip.shared_bytes), static_cast<cudaStream_t>(stream));
}

}  // namespace

int launch(const PersistentForward<float, Value>& plan, void* stream) {
  return launch_cooperative(window_forward_kernel, plan.chip, plan, stream);
}

int launch(const PersistentBackward<float, Value>& plan, void* stream) {
  return launch_cooperative(window_backward_kernel, plan.chip, plan, stream);
}

}  // namespace hmrnn::cuda
