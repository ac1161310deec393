// An emulated CUDA device: the interface between its parts. README.md describes its purpose.
#pragma once

#include <cuda_runtime_api.h>

#include <functional>
#include <string>

namespace emulated_gpu {

using Work = std::function<void()>;

/// Appends work to a stream, or records it during a capture. It runs when the host waits for it, with access to the
/// device's memory.
cudaError_t enqueue(cudaStream_t stream, const std::string& what, Work work);
/// Runs the stream's work and everything that it depends on. Returns an error during a capture.
cudaError_t finish(cudaStream_t stream);
void finish_all();
bool is_capturing(cudaStream_t stream);

/// Returns an error if a capture forbids the calling thread the functions that CUDA calls potentially unsafe (allocate,
/// free, wait); the capture is then invalid.
cudaError_t check_unsafe_call();

/// Stores the error for cudaGetLastError.
cudaError_t remember(cudaError_t error);

/// Gives the host access to the device's memory for its lifetime; at other times an access ends the program, as with a
/// GPU.
class MemoryAccess {
 public:
  MemoryAccess();
  ~MemoryAccess();
  MemoryAccess(const MemoryAccess&) = delete;
  MemoryAccess& operator=(const MemoryAccess&) = delete;
};

enum class MemoryKind { Device, Pinned, Pageable };
MemoryKind kind_of(const void* pointer);

/// A launch: grid, block, arguments in the runtime's form, dynamic shared memory in bytes, and whether all blocks must
/// be resident at the same time.
struct Launch {
  dim3 grid, block;
  void** arguments;
  size_t shared;
  bool together;
};
/// Copies the arguments of a launch and returns its work.
using Kernel = std::function<Work(const Launch&)>;
/// `name`: demangled.
void add_kernel(const std::string& name, Kernel kernel);

/// Ends the program: for what the emulation does not support, and for errors that a device would not survive.
[[noreturn]] void fail(const std::string& what);

}  // namespace emulated_gpu
