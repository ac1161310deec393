// For tests, looked up by name in libhmrnn_cuda (see device.h): whether LibTorch lets the host wait for the device.
#pragma once

#include "hmrnn/export.h"

extern "C" {

/// With `forbid`, whatever makes the host wait (an `.item()`, a copy to the CPU) throws, on every thread, until it is
/// called without. Returns what was set before.
HMRNN_API int hmrnn_cuda_forbid_synchronization(int forbid);

/// The type of the function above, for dlsym.
using HmrnnCudaForbidSynchronization = int (*)(int);
}
