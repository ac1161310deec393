#pragma once

#include <functional>
#include <string>

#include "hmrnn/export.h"

namespace hmrnn {

/// What LibTorch's message about a failed allocation on a device says, in its words ("20.00 GiB"); empty where it does
/// not say it.
struct FailedAllocation {
  std::string asked;  ///< for
  std::string free;   ///< on the device
  std::string total;  ///< of the device
};

/// Reads it from `message`.
HMRNN_API FailedAllocation read_failed_allocation(const std::string& message);

/// Does `work`. Where a device runs out of memory meanwhile, throws hmrnn::Error with one line: `what` was at work (the
/// sizes that may be chosen: model, batch, window), how much was asked for, how much is free.
HMRNN_API void with_memory_errors_of(const std::string& what, const std::function<void()>& work);

}  // namespace hmrnn
