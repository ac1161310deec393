// The window in one launch: a block on each multiprocessor, which keeps its share of the weights in shared memory
// (hm_lstm_chip.h). A wave is two phases with a barrier of all blocks after each: the rows, a block taking one after
// the other with the same bodies as the launches of single steps, and the products, on the tensor cores.
//
// Why two: a row's layer norm needs all of its product, a product all units of the rows. What a phase leaves lies in
// global memory (in practice in the L2 cache) and is visible after the barrier, which releases and acquires; nothing
// here may be read through the read-only path, since all of it was written by this very kernel.

#include <cooperative_groups.h>
#include <mma.h>

#include "hmrnn/ops/cuda/block_launch.h"
#include "hmrnn/ops/cuda/hm_lstm_persistent.h"
#include "hmrnn/ops/cuda/hm_lstm_step_backward.h"
#include "hmrnn/ops/cuda/hm_lstm_step_forward.h"
#include "hmrnn/ops/cuda/launch.h"

namespace hmrnn::cuda {

namespace {

namespace wmma = nvcuda::wmma;

using Value = c10::BFloat16;

constexpr int kWarp = 32;

/// A block's shared memory.
struct Chip {
  const ChipPlan& plan;
  ChipHeader& header;
  Value* staged;  ///< the operand of a product, `plan.rows` of its rows
  Value* weights;

  __device__ Chip(const ChipPlan& p, unsigned char* shared) : plan(p), header(*reinterpret_cast<ChipHeader*>(shared)) {
    staged = reinterpret_cast<Value*>(shared + sizeof(ChipHeader));
    weights = staged + p.rows * p.staged_stride;
  }
  template <class Layer>
  __device__ const Layer* layers() const {
    static_assert(sizeof(Layer) <= kLayerBytes);
    return reinterpret_cast<const Layer*>(header.layers);
  }
};

/// Rows of `columns` values, a multiple of 8, from global to shared memory, a warp taking one after the other. Loads go
/// out together: one alone would wait for the L2 cache each time.
__device__ void copy_rows(Value* to, int64_t to_stride, const Value* from, int64_t from_stride, int rows, int columns) {
  using Values = Pack<Value, 8>;
  constexpr int kTogether = 8;
  const int warp = static_cast<int>(threadIdx.x) / kWarp, warps = static_cast<int>(blockDim.x) / kWarp;
  for (int j = static_cast<int>(threadIdx.x) % kWarp * 8; j < columns; j += kWarp * 8) {
    for (int first = warp; first < rows; first += warps * kTogether) {
      Values held[kTogether];
      HMRNN_UNROLL
      for (int k = 0; k < kTogether; ++k) {
        const int row = first + k * warps;
        if (row < rows) held[k] = *reinterpret_cast<const Values*>(from + row * from_stride + j);
      }
      HMRNN_UNROLL
      for (int k = 0; k < kTogether; ++k) {
        const int row = first + k * warps;
        if (row < rows) *reinterpret_cast<Values*>(to + row * to_stride + j) = held[k];
      }
    }
  }
}

/// Their transpose, for what is done once.
__device__ void copy_columns(Value* to, int to_stride, const Value* from, int64_t from_stride, int rows, int columns) {
  for (int i = static_cast<int>(threadIdx.x); i < rows * columns; i += static_cast<int>(blockDim.x)) {
    to[i % columns * to_stride + i / columns] = from[i / columns * from_stride + i % columns];
  }
}

/// Notes the layers' plans, finds the block's cells and fetches their weights, which are there for all threads after
/// the next barrier.
template <class Plan>
__device__ void prepare(const Chip& chip, const Plan& p) {
  using Layer = typename Plan::Layer;
  if (threadIdx.x < p.chip.layers) {
    const_cast<Layer*>(chip.layers<Layer>())[threadIdx.x] = p.layer[threadIdx.x];
  }
  if (threadIdx.x == 0) {
    int n = 0;
    each_cell(chip.plan, blockIdx.x, [&](const ChipCell& cell) { chip.header.cell[n++] = cell; });
    chip.header.cells = n;
  }
  __syncthreads();
  for (int i = 0; i < chip.header.cells; ++i) {
    const ChipCell& cell = chip.header.cell[i];
    const int64_t d = chip.layers<Layer>()[cell.layer].shape.units;
    const Value* from = p.weights[cell.layer];
    Value* to = chip.weights + cell.weights;
    if (chip.plan.forward) {
      copy_rows(to, cell.stride(), from + cell.column * d + cell.begin, d, cell.columns, cell.depth);
    } else {
      copy_columns(to, cell.stride(), from + cell.begin * d + cell.column, d, cell.depth, cell.columns);
    }
  }
}

/// A warp's M tiles below each other: operand rows [M·16, depth] times 16 rows of weights.
template <int M>
__device__ void multiply_tiles(const Value* operand, int64_t operand_stride, const Value* weights, int stride,
                               int depth, float* out, int64_t out_stride) {
  constexpr int kSize = static_cast<int>(kTile);
  const auto* a = reinterpret_cast<const __nv_bfloat16*>(operand);
  const auto* b = reinterpret_cast<const __nv_bfloat16*>(weights);
  wmma::fragment<wmma::accumulator, kSize, kSize, kSize, float> sum[M];
  HMRNN_UNROLL
  for (int m = 0; m < M; ++m) wmma::fill_fragment(sum[m], 0.0f);
  for (int k = 0; k < depth; k += kSize) {
    wmma::fragment<wmma::matrix_b, kSize, kSize, kSize, __nv_bfloat16, wmma::col_major> right;
    wmma::load_matrix_sync(right, b + k, static_cast<unsigned>(stride));
    HMRNN_UNROLL
    for (int m = 0; m < M; ++m) {
      wmma::fragment<wmma::matrix_a, kSize, kSize, kSize, __nv_bfloat16, wmma::row_major> left;
      wmma::load_matrix_sync(left, a + m * kSize * operand_stride + k, static_cast<unsigned>(operand_stride));
      wmma::mma_sync(sum[m], left, right, sum[m]);
    }
  }
  HMRNN_UNROLL
  for (int m = 0; m < M; ++m) {
    wmma::store_matrix_sync(out + m * kSize * out_stride, sum[m], static_cast<unsigned>(out_stride),
                            wmma::mem_row_major);
  }
}

/// out[B, …] of one cell; `operand` [B, …] in global memory.
__device__ void multiply(const Chip& chip, const ChipCell& cell, int64_t batch, const Value* operand,
                         int64_t operand_stride, float* out, int64_t out_stride) {
  const int warp = static_cast<int>(threadIdx.x) / kWarp, warps = static_cast<int>(blockDim.x) / kWarp;
  const int rows = static_cast<int>(chip.plan.rows), side = static_cast<int>(kTile);
  const int tall = rows % (2 * side) == 0 ? 2 : 1;  // two tiles below each other use a tile of weights twice
  const int down = rows / (tall * side), items = cell.columns / side * down;
  for (int64_t first = 0; first < batch; first += rows) {
    __syncthreads();  // the operand of before has been used
    copy_rows(chip.staged, chip.plan.staged_stride, operand + first * operand_stride + cell.begin, operand_stride, rows,
              cell.depth);
    __syncthreads();
    for (int item = warp; item < items; item += warps) {
      const int column = item / down * side, row = item % down * tall * side;
      const Value* left = chip.staged + row * chip.plan.staged_stride;
      const Value* right = chip.weights + cell.weights + column * cell.stride();
      float* to = out + (first + row) * out_stride + cell.column + column;
      if (tall == 2) {
        multiply_tiles<2>(left, chip.plan.staged_stride, right, cell.stride(), cell.depth, to, out_stride);
      } else {
        multiply_tiles<1>(left, chip.plan.staged_stride, right, cell.stride(), cell.depth, to, out_stride);
      }
    }
  }
}

/// One layer alone has a step in every second wave.
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
__device__ void each_product(const Chip& chip, int64_t wave, const WindowPlan<float>& w, F f) {
  for (int i = 0; i < chip.header.cells; ++i) {
    const ChipCell cell = chip.header.cell[i];
    const int64_t twice = wave - cell.layer;
    if (twice < 0 || twice % 2 != 0 || twice / 2 >= w.steps) continue;
    f(twice / 2, cell);
  }
}

__global__ void __launch_bounds__(kChipThreads, 1)
    window_forward_kernel(const __grid_constant__ PersistentForward<float, Value> p) {
  extern __shared__ __align__(32) unsigned char shared[];
  const Chip chip(p.chip, shared);
  auto grid = cooperative_groups::this_grid();
  ForwardPlan<float, Value> w = p.window;
  w.layer = chip.layers<LayerForwardPlan<float, Value>>();
  const auto multiply_state = [&](const ChipCell& cell, int64_t s) {
    const auto& own = w.layer[cell.layer];
    const int64_t d = own.shape.units, row = w.slot(s) * w.batch;
    multiply(chip, cell, w.batch, own.h_operand + row * d, d, own.products + row * own.shape.width, own.shape.width);
  };
  prepare(chip, p);
  for (int i = 0; i < chip.header.cells; ++i) multiply_state(chip.header.cell[i], 0);
  grid.sync();
  const int64_t all = waves(w.steps, w.layers);
  for (int64_t wave = 0; wave < all; wave += every(w)) {
    each_row(wave, w, [&](int64_t t, int64_t l, int64_t b) {
      step_forward<kPack<float>>(CudaBlock(chip.header.sums), b, forward_step(w, t, l));
    });
    if (wave + 1 == all) return;  // nothing is computed from the last state at the top
    grid.sync();
    each_product(chip, wave, w, [&](int64_t t, const ChipCell& cell) { multiply_state(cell, t + 1); });
    grid.sync();
  }
}

__global__ void __launch_bounds__(kChipThreads, 1)
    window_backward_kernel(const __grid_constant__ PersistentBackward<float, Value> p) {
  extern __shared__ __align__(32) unsigned char shared[];
  const Chip chip(p.chip, shared);
  auto grid = cooperative_groups::this_grid();
  BackwardPlan<float, Value> w = p.window;
  w.layer = chip.layers<LayerBackwardPlan<float, Value>>();
  prepare(chip, p);
  for (int64_t wave = waves(w.steps, w.layers) - 1; wave >= 0; wave -= every(w)) {
    each_product(chip, wave, w, [&](int64_t t, const ChipCell& cell) {
      if (!w.read_later(t, cell.layer)) return;
      const auto& own = w.layer[cell.layer];
      const int64_t d = own.shape.units, width = own.shape.width;
      multiply(chip, cell, w.batch, own.d_products + (t + 1) * w.batch * width, width,
               own.through + cell.part * w.batch * d, d);
    });
    grid.sync();
    each_row(wave, w, [&](int64_t t, int64_t l, int64_t b) {
      step_backward<kPack<float>>(CudaBlock(chip.header.sums), b, backward_step(w, t, l));
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
