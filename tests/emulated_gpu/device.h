// An emulated CUDA device: what its parts tell each other. README.md says what it is for.
#pragma once

#include <cuda_runtime_api.h>

#include <functional>
#include <string>

namespace emulated_gpu {

using Work = std::function<void()>;

/// Appends work to a stream, or records it if the stream is being captured; it runs when somebody waits for it, with
/// the device's memory accessible.
cudaError_t enqueue(cudaStream_t stream, const std::string& what, Work work);
/// Runs what is in the stream, and what that waits for. An error while the stream is being captured.
cudaError_t finish(cudaStream_t stream);
void finish_all();
bool is_capturing(cudaStream_t stream);

/// An error if the calling thread may not do now what the runtime calls potentially unsafe (allocate, free, wait),
/// since a capture is under way; the capture is then invalid.
cudaError_t check_unsafe_call();

/// Notes the error for cudaGetLastError.
cudaError_t remember(cudaError_t error);

/// While one lives, the host may touch the device's memory: outside of it that ends the program, as it would with a
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

/// A launch: grid, block, the arguments as the runtime gets them, dynamic shared memory in bytes, and whether all
/// blocks are to be there at the same time.
struct Launch {
  dim3 grid, block;
  void** arguments;
  size_t shared;
  bool together;
};
/// Copies the arguments of a launch and returns what it does.
using Kernel = std::function<Work(const Launch&)>;
/// `name`: demangled.
void add_kernel(const std::string& name, Kernel kernel);

/// Ends the program: something that the emulation does not know, or that no device would survive.
[[noreturn]] void fail(const std::string& what);

}  // namespace emulated_gpu
