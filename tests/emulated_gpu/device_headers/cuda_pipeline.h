// Replaces the toolkit's header of this name when kernels are compiled for the host: a copy from global to shared
// memory is made only when the thread waits for it.
#pragma once

#include <cstddef>
#include <cstdint>

#include "block.h"
#include "device.h"

inline void __pipeline_memcpy_async(void* to, const void* from, size_t bytes) {
  if (bytes != 16 || reinterpret_cast<uintptr_t>(to) % 16 != 0 || reinterpret_cast<uintptr_t>(from) % 16 != 0) {
    emulated_gpu::fail("an asynchronous copy that is not of 16 aligned bytes");
  }
  emulated_gpu::check_shared(to, bytes);
  emulated_gpu::copy_later(to, from, bytes);
}
inline void __pipeline_commit() {}
inline void __pipeline_wait_prior(size_t newer) {
  if (newer != 0) emulated_gpu::fail("waiting for some copies and not for others is not emulated");
  emulated_gpu::copy_now();
}
