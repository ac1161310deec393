#pragma once

namespace hmrnn::cpu {

/// Names the kernels that this CPU runs; see cpu_kernels() in product_dtype.h.
const char* chosen_kernels();

}  // namespace hmrnn::cpu
