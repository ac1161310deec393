#pragma once

#include "hmrnn/export.h"

namespace hmrnn {

/// Makes glibc's allocator keep freed memory for the next window instead of returning it to the system: a window's tape
/// is some hundred MB, and faulting in fresh pages for it took up to a tenth of a training step. Programs call it at
/// their start, since it affects the whole process. No effect without glibc.
HMRNN_API void keep_freed_memory();

}  // namespace hmrnn
