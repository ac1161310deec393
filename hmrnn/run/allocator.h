#pragma once

#include "hmrnn/export.h"

namespace hmrnn {

/// Tells the C library's allocator to keep what is freed for the next window instead of handing it back to the system:
/// a window's tape is some hundred MB, and fresh pages for it cost up to a tenth of a training step. For programs, at
/// their start; it holds for the whole process. No effect without glibc.
HMRNN_API void keep_freed_memory();

}  // namespace hmrnn
