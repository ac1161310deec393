// Replaces the toolkit's header of this name when kernels are compiled for the host.
#pragma once

#include "block.h"

namespace cooperative_groups {

struct grid_group {
  void sync() const { emulated_gpu::grid_barrier(); }
};
inline grid_group this_grid() { return {}; }

}  // namespace cooperative_groups
