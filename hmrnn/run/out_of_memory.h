#pragma once

#include <c10/util/Exception.h>

#include <functional>
#include <optional>
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

/// One line about memory that could not be had, on a device or on the CPU: what was asked for, and what is free where
/// LibTorch says so. Nothing if `error` is about something else. `what` was at work; empty: not said.
HMRNN_API std::optional<std::string> memory_error_of(const c10::Error& error, const std::string& what = {});

/// Does `work`. Where memory runs out meanwhile, on a device or on the CPU, throws hmrnn::Error with one line: `what`
/// was at work (the sizes that may be chosen: model, batch, window), how much was asked for, how much is free.
HMRNN_API void with_memory_errors_of(const std::string& what, const std::function<void()>& work);

}  // namespace hmrnn
