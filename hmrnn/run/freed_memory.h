#pragma once

#include "hmrnn/export.h"

namespace hmrnn {

/// Makes glibc's allocator keep freed memory for the next window instead of returning it to the system: a window's tape
/// is some hundred MB, and page faults for new memory take 2% of the training time with one thread (3×128), and 6% and
/// 9% with two (3×512, 3×128; medians of three noisy runs, AMD Zen 3). The drawback: blocks below 1 GiB are then on the
/// heap, where an overrun hits a neighbouring block instead of an unmapped page. Without this call that holds up to
/// 32 MiB, the limit to which glibc raises its threshold as blocks are freed. Programs call it at their start, since it
/// affects the whole process. No effect without glibc.
HMRNN_API void keep_freed_memory();

}  // namespace hmrnn
