#pragma once

#include <cstdint>

#include "hmrnn/export.h"

namespace hmrnn {

/// Whether hm_lstm on CUDA may run all steps of a window in one launch, each multiprocessor keeping its share of the
/// weights on chip, instead of four launches a step. Off to begin with; holds for all threads from the next call on,
/// forwards and backwards. A window that does not fit goes step by step as before. To fit it needs
///   products in bfloat16, a device of compute capability 8.0 or higher, at least 4 steps, at most 4 layers,
///   a batch and units that are multiples of 16,
///   weights that find room in the shared memory of all multiprocessors together (3×512 on an H100 or H200),
///   no locked mask (WindowDropout), under which W and V read other values than U, and
///   biases, layer norms and gradients of h that begin at multiples of 16 bytes.
/// Results repeat bit for bit either way; the two ways add up products in different orders.
HMRNN_API void set_cuda_persistent(bool on);
/// What was set last.
HMRNN_API bool cuda_persistent();

/// How many windows of this process were launched so, each direction counted by itself; of those that a CUDA graph
/// replays only the one that was captured.
HMRNN_API int64_t cuda_persistent_windows();

/// For libhmrnn_cuda: one more.
HMRNN_API void count_cuda_persistent_window();

}  // namespace hmrnn
