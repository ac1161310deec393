#include "hmrnn/ops/cuda/synchronization.h"

#include <c10/cuda/CUDAFunctions.h>

extern "C" int hmrnn_cuda_forbid_synchronization(int forbid) {
  using c10::cuda::SyncDebugMode;
  auto& state = c10::cuda::warning_state();
  const int before = state.get_sync_debug_mode() == SyncDebugMode::L_ERROR;
  state.set_sync_debug_mode(forbid ? SyncDebugMode::L_ERROR : SyncDebugMode::L_DISABLED);
  return before;
}
