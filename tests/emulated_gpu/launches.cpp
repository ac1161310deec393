// Device properties, errors, and kernels by name.
#include <cxxabi.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <mutex>
#include <regex>
#include <set>
#include <utility>

#include "device.h"

namespace emulated_gpu {

namespace {

thread_local cudaError_t last_error = cudaSuccess;

struct Registered {
  std::string mangled;
  std::string name;          // demangled at its first launch
  size_t shared = 48 << 10;  // limit of the dynamic shared memory of a launch
};

struct Kernels {
  std::mutex mutex;
  std::map<const void*, Registered> of_stub;  // the host's stub → the kernel
  std::map<std::string, Kernel> by_name;
  std::set<std::string> launched;  // templates, if requested
};

Kernels& kernels() {
  static auto* const one = new Kernels;
  return *one;
}

std::string demangle(const std::string& mangled) {
  int status = 0;
  char* text = abi::__cxa_demangle(mangled.c_str(), nullptr, nullptr, &status);
  std::string out = text ? text : mangled;
  std::free(text);
  return out;
}

/// Removes the name of the file, which nvcc adds to unnamed namespaces, and the parameters.
std::string kernel_name(const std::string& demangled) {
  static const std::regex file("_GLOBAL__N__[A-Za-z0-9_]+");
  auto name = std::regex_replace(demangled, file, "(anonymous namespace)");
  if (name.back() != ')') return name;
  int depth = 0;
  for (size_t i = name.size(); i-- > 0;) {
    depth += name[i] == ')' ? 1 : name[i] == '(' ? -1 : 0;
    if (depth == 0) return name.substr(0, i);
  }
  return name;
}

/// Name of a kernel's template: "step_forward_kernel".
std::string template_name(const std::string& name) {
  const auto whole = name.substr(0, name.find('<'));
  return whole.substr(whole.rfind(':') + 1);
}

/// EMULATED_GPU_UNLAUNCHED=1: print at the end which templates had no kernel launched.
bool notes_launches() {
  static const bool asked = [] {
    if (!std::getenv("EMULATED_GPU_UNLAUNCHED")) return false;
    std::atexit([] {
      std::set<std::string> never;
      for (const auto& [name, kernel] : kernels().by_name) {
        if (!kernels().launched.count(template_name(name))) never.insert(template_name(name));
      }
      for (const auto& name : never) std::printf("emulated GPU: never launched: %s\n", name.c_str());
      if (never.empty()) std::printf("emulated GPU: every kind of kernel was launched\n");
    });
    return true;
  }();
  return asked;
}

struct Configuration {
  dim3 grid, block;
  size_t shared;
  cudaStream_t stream;
};
thread_local Configuration pushed;

}  // namespace

void fail(const std::string& what) {
  std::fprintf(stderr, "emulated GPU: %s\n", what.c_str());
  std::fflush(nullptr);
  std::abort();
}

cudaError_t remember(cudaError_t error) {
  if (error != cudaSuccess) last_error = error;
  return error;
}

void add_kernel(const std::string& name, Kernel kernel) {
  auto& k = kernels();
  const std::lock_guard<std::mutex> lock(k.mutex);
  k.by_name[kernel_name(name)] = std::move(kernel);
}

namespace {

cudaError_t launch(const void* stub, const Launch& l, cudaStream_t stream) {
  cudaDeviceProp p;
  cudaGetDeviceProperties(&p, 0);
  const unsigned threads = l.block.x * l.block.y * l.block.z;
  if (threads == 0 || threads > 1024 || l.block.z > 64 || l.grid.x == 0 || l.grid.y == 0 || l.grid.z == 0 ||
      l.grid.x > static_cast<unsigned>(p.maxGridSize[0]) || l.grid.y > 65535 || l.grid.z > 65535) {
    return remember(cudaErrorInvalidConfiguration);
  }
  Kernel kernel;
  std::string name;
  {
    auto& k = kernels();
    const std::lock_guard<std::mutex> lock(k.mutex);
    auto& registered = k.of_stub[stub];
    if (l.shared > registered.shared) return remember(cudaErrorInvalidValue);
    if (registered.name.empty()) registered.name = kernel_name(demangle(registered.mangled));
    name = registered.name;
    const auto found = k.by_name.find(name);
    if (found == k.by_name.end()) fail("there is no code for the kernel " + name);
    kernel = found->second;
    if (notes_launches()) k.launched.insert(template_name(name));
  }
  return remember(enqueue(stream, name, kernel(l)));
}

}  // namespace

}  // namespace emulated_gpu

using namespace emulated_gpu;

extern "C" {

cudaError_t cudaGetLastError() { return std::exchange(last_error, cudaSuccess); }
cudaError_t cudaPeekAtLastError() { return last_error; }

const char* cudaGetErrorName(cudaError_t error) {
  static thread_local char text[64];
  std::snprintf(text, sizeof(text), "error %d of an emulated GPU", static_cast<int>(error));
  return text;
}
const char* cudaGetErrorString(cudaError_t error) {
  switch (error) {
    case cudaSuccess:
      return "no error";
    case cudaErrorMemoryAllocation:
      return "out of memory";
    case cudaErrorInvalidDevice:
      return "invalid device ordinal";
    case cudaErrorStreamCaptureUnsupported:
      return "operation not permitted when stream is capturing";
    case cudaErrorStreamCaptureInvalidated:
      return "operation failed due to a previous error during capture";
    case cudaErrorStreamCaptureUnjoined:
      return "capturing stream has unjoined work";
    case cudaErrorStreamCaptureIsolation:
      return "dependency created on uncaptured work in another stream";
    default:
      return cudaGetErrorName(error);
  }
}

// ---------------------------------------------------------------- the device
cudaError_t cudaGetDeviceCount(int* count) {
  *count = 1;
  return cudaSuccess;
}
cudaError_t cudaGetDevice(int* device) {
  *device = 0;
  return cudaSuccess;
}
cudaError_t cudaSetDevice(int device) { return remember(device == 0 ? cudaSuccess : cudaErrorInvalidDevice); }
cudaError_t cudaDriverGetVersion(int* version) {
  *version = 13000;
  return cudaSuccess;
}
cudaError_t cudaRuntimeGetVersion(int* version) {
  *version = CUDART_VERSION;
  return cudaSuccess;
}
cudaError_t cudaDeviceGetStreamPriorityRange(int* least, int* greatest) {
  *least = 0;
  *greatest = -5;
  return cudaSuccess;
}
cudaError_t cudaDeviceCanAccessPeer(int* can, int, int) {
  *can = 0;
  return cudaSuccess;
}

cudaError_t cudaGetDeviceProperties(cudaDeviceProp* p, int device) {
  if (device != 0) return remember(cudaErrorInvalidDevice);
  std::memset(p, 0, sizeof(*p));
  std::snprintf(p->name, sizeof(p->name), "emulated GPU");
  size_t free_bytes = 0;
  cudaMemGetInfo(&free_bytes, &p->totalGlobalMem);
  p->major = 9;
  p->multiProcessorCount = 16;
  p->warpSize = 32;
  p->maxThreadsPerBlock = 1024;
  p->maxThreadsPerMultiProcessor = 2048;
  p->maxBlocksPerMultiProcessor = 32;
  p->sharedMemPerBlock = 48 << 10;
  p->sharedMemPerBlockOptin = 227 << 10;
  p->sharedMemPerMultiprocessor = 228 << 10;
  p->regsPerBlock = p->regsPerMultiprocessor = 65536;
  p->maxThreadsDim[0] = p->maxThreadsDim[1] = 1024;
  p->maxThreadsDim[2] = 64;
  p->maxGridSize[0] = 2147483647;
  p->maxGridSize[1] = p->maxGridSize[2] = 65535;
  p->l2CacheSize = 50 << 20;
  p->textureAlignment = 512;
  p->unifiedAddressing = 1;
  p->cooperativeLaunch = 1;
  return cudaSuccess;
}

cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr attribute, int) {
  cudaDeviceProp p;
  cudaGetDeviceProperties(&p, 0);
  switch (attribute) {
    case cudaDevAttrMultiProcessorCount:
      *value = p.multiProcessorCount;
      break;
    case cudaDevAttrComputeCapabilityMajor:
      *value = p.major;
      break;
    case cudaDevAttrComputeCapabilityMinor:
      *value = p.minor;
      break;
    case cudaDevAttrMaxSharedMemoryPerBlockOptin:
      *value = static_cast<int>(p.sharedMemPerBlockOptin);
      break;
    case cudaDevAttrMaxThreadsPerBlock:
      *value = p.maxThreadsPerBlock;
      break;
    default:
      *value = 0;
  }
  return cudaSuccess;
}

/// There are no driver functions; LibTorch works without.
cudaError_t cudaGetDriverEntryPointByVersion(const char*, void** function, unsigned, unsigned long long,
                                             cudaDriverEntryPointQueryResult* result) {
  *function = nullptr;
  if (result) *result = cudaDriverEntryPointSymbolNotFound;
  return cudaSuccess;
}

// ---------------------------------------------------------------- kernels
void** __cudaRegisterFatBinary(void*) {
  static void* handle = nullptr;
  return &handle;
}
void __cudaRegisterFatBinaryEnd(void**) {}
void __cudaUnregisterFatBinary(void**) {}
void __cudaRegisterVar(void**, char*, char*, const char*, int, size_t, int, int) {}

void __cudaRegisterFunction(void**, const char* stub, char*, const char* name, int, uint3*, uint3*, dim3*, dim3*,
                            int*) {
  auto& k = kernels();
  const std::lock_guard<std::mutex> lock(k.mutex);
  k.of_stub[stub].mangled = name;
}

unsigned __cudaPushCallConfiguration(dim3 grid, dim3 block, size_t shared, CUstream_st* stream) {
  pushed = {grid, block, shared, stream};
  return 0;
}
cudaError_t __cudaPopCallConfiguration(dim3* grid, dim3* block, size_t* shared, void* stream) {
  *grid = pushed.grid;
  *block = pushed.block;
  *shared = pushed.shared;
  *static_cast<cudaStream_t*>(stream) = pushed.stream;
  return cudaSuccess;
}
cudaError_t __cudaGetKernel(cudaKernel_t* kernel, const void* stub) {
  *kernel = reinterpret_cast<cudaKernel_t>(const_cast<void*>(stub));
  return cudaSuccess;
}

cudaError_t cudaFuncSetAttribute(const void* stub, cudaFuncAttribute attribute, int value) {
  cudaDeviceProp p;
  cudaGetDeviceProperties(&p, 0);
  if (attribute != cudaFuncAttributeMaxDynamicSharedMemorySize || value < 0 ||
      static_cast<size_t>(value) > p.sharedMemPerBlockOptin) {
    return remember(cudaErrorInvalidValue);
  }
  auto& k = kernels();
  const std::lock_guard<std::mutex> lock(k.mutex);
  k.of_stub[stub].shared = static_cast<size_t>(value);
  return cudaSuccess;
}

cudaError_t cudaLaunchKernel(const void* stub, dim3 grid, dim3 block, void** arguments, size_t shared,
                             cudaStream_t stream) {
  return launch(stub, {grid, block, arguments, shared, false}, stream);
}
/// Allows one block per multiprocessor: the emulation cannot determine whether more would fit.
cudaError_t cudaLaunchCooperativeKernel(const void* stub, dim3 grid, dim3 block, void** arguments, size_t shared,
                                        cudaStream_t stream) {
  cudaDeviceProp p;
  cudaGetDeviceProperties(&p, 0);
  if (grid.x * grid.y * grid.z > static_cast<unsigned>(p.multiProcessorCount)) {
    return remember(cudaErrorCooperativeLaunchTooLarge);
  }
  return launch(stub, {grid, block, arguments, shared, true}, stream);
}
cudaError_t __cudaLaunchKernel(cudaKernel_t kernel, dim3 grid, dim3 block, void** arguments, size_t shared,
                               cudaStream_t stream) {
  return cudaLaunchKernel(reinterpret_cast<const void*>(kernel), grid, block, arguments, shared, stream);
}
cudaError_t cudaLaunchKernelExC(const cudaLaunchConfig_t* c, const void* stub, void** arguments) {
  return cudaLaunchKernel(stub, c->gridDim, c->blockDim, arguments, c->dynamicSmemBytes, c->stream);
}

}  // extern "C"
