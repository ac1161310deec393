#pragma once

#include <c10/util/Exception.h>

#include <functional>
#include <optional>
#include <string>

#include "hmrnn/export.h"

namespace hmrnn {

/// What LibTorch's message about a failed device allocation reports, as text ("20.00 GiB"); empty if it does not say.
struct FailedAllocation {
  std::string asked;  ///< size of the allocation
  std::string free;   ///< free memory of the device
  std::string total;  ///< memory of the device
};

/// Extracts these from `message`.
HMRNN_API FailedAllocation read_failed_allocation(const std::string& message);

/// One line for a failed allocation on a device or the CPU: what was requested and, if LibTorch reports it, what is
/// free. Empty if `error` is about something else. `what` describes the work in progress; may be empty.
HMRNN_API std::optional<std::string> memory_error_of(const c10::Error& error, const std::string& what = {});

/// Calls `work`. If memory runs out, on a device or the CPU, throws hmrnn::Error with one line: `what` (the sizes that
/// a user can reduce: model, batch, window), what was requested, and what is free.
HMRNN_API void with_memory_errors_of(const std::string& what, const std::function<void()>& work);

}  // namespace hmrnn
