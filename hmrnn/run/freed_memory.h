#pragma once

#include "hmrnn/export.h"

namespace hmrnn {

/// Makes glibc's allocator keep freed memory for the next window instead of returning it to the system: a window's tape
/// is some hundred MB, and faulting in fresh pages for it takes 2% of a training's time with one thread (3×128), and
/// 6% and 9% with two (3×512, 3×128; medians of three noisy runs, AMD Zen 3). Blocks below 1 GiB then lie on the heap, where an overrun hits its neighbour instead of an
/// unmapped page; without this call the same holds up to 32 MiB, the limit that glibc itself reaches after the first
/// block is freed, so that little would be gained. Programs call it at their start, since it affects the whole process.
/// No effect without glibc.
HMRNN_API void keep_freed_memory();

}  // namespace hmrnn
