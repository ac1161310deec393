#pragma once

#include <cstdint>

#include "hmrnn/export.h"

namespace hmrnn {

/// Whether hm_lstm on CUDA may run all steps of a window in one launch, each multiprocessor keeping its share of the
/// weights on chip, instead of four launches per step. Off by default; affects all threads from the next call on,
/// forward and backward passes. A window that does not fit still runs step by step. To fit it needs
///   products in bfloat16, a device of compute capability 8.0 or higher, at least 4 steps, at most 4 layers,
///   a batch and units that are multiples of 16,
///   weights that fit into the shared memory of all multiprocessors together (3×512 on an H100 or H200),
///   no locked mask (WindowDropout), under which W and V read other values than U, and
///   biases, layer norms and gradients of h that begin at multiples of 16 bytes.
/// Results repeat bit for bit either way; the two ways add up products in different orders.
HMRNN_API void set_cuda_persistent(bool on);
/// What was set last.
HMRNN_API bool cuda_persistent();

/// How many windows of this process were launched in this way, forward and backward passes counted separately; of the
/// windows of a CUDA graph only the captured one is counted, not its replays.
HMRNN_API int64_t cuda_persistent_windows();

/// For libhmrnn_cuda: adds one to that count.
HMRNN_API void count_cuda_persistent_window();

}  // namespace hmrnn
