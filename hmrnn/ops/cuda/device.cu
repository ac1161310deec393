#include "hmrnn/ops/cuda/device.h"

#include <cuda_runtime.h>

#include <cstdio>
#include <cstring>

namespace {

constexpr int kProbe = 0x484d;

__global__ void probe(int* out) { *out = kProbe; }

/// Runs the probe kernel on the current device.
cudaError_t run_probe() {
  int* device_value = nullptr;
  int value = 0;
  cudaError_t error = cudaMalloc(&device_value, sizeof(int));
  if (error != cudaSuccess) return error;
  probe<<<1, 1>>>(device_value);
  error = cudaGetLastError();
  if (error == cudaSuccess) error = cudaMemcpy(&value, device_value, sizeof(int), cudaMemcpyDeviceToHost);
  if (error == cudaSuccess && value != kProbe) error = cudaErrorUnknown;
  const cudaError_t freed = cudaFree(device_value);
  return error != cudaSuccess ? error : freed;
}

cudaError_t query(int index, HmrnnCudaDevice* device) {
  int previous = 0;
  cudaError_t error = cudaGetDevice(&previous);
  if (error == cudaSuccess) error = cudaSetDevice(index);
  if (error != cudaSuccess) return error;

  cudaDeviceProp properties;
  size_t free_bytes = 0;
  size_t total_bytes = 0;
  error = cudaGetDeviceProperties(&properties, index);
  if (error == cudaSuccess) error = run_probe();
  if (error == cudaSuccess) error = cudaMemGetInfo(&free_bytes, &total_bytes);
  if (error == cudaSuccess) {
    std::snprintf(device->name, sizeof(device->name), "%s", properties.name);
    device->major = properties.major;
    device->minor = properties.minor;
    device->free_bytes = free_bytes;
    device->total_bytes = total_bytes;
  }
  const cudaError_t restored = cudaSetDevice(previous);
  return error != cudaSuccess ? error : restored;
}

}  // namespace

extern "C" int hmrnn_cuda_query_device(int index, HmrnnCudaDevice* device, char* message, size_t message_size) {
  const cudaError_t error = query(index, device);
  if (message_size > 0) std::snprintf(message, message_size, "%s", cudaGetErrorString(error));
  // An error that is not sticky must not be reported again by the caller's next check.
  if (error != cudaSuccess) cudaGetLastError();
  return static_cast<int>(error);
}
