#include "hmrnn/ops/cuda_library.h"

#include <dlfcn.h>
#include <torch/cuda.h>

#include <algorithm>
#include <charconv>
#include <cstdio>
#include <filesystem>
#include <mutex>

#include "hmrnn/error.h"
#include "hmrnn/ops/cuda/device.h"

namespace hmrnn {

namespace {

constexpr const char* kLibrary = "libhmrnn_cuda.so";

std::string dl_error() {
  const char* text = dlerror();
  std::string out = text ? text : "unknown error of the loader";
  std::replace(out.begin(), out.end(), '\n', ' ');
  return out;
}

/// libhmrnn_cuda.so in the folder that this library was loaded from; empty if there is none.
std::filesystem::path beside_this_library() {
  Dl_info info;
  if (!dladdr(reinterpret_cast<const void*>(&load_cuda_library), &info) || !info.dli_fname) return {};
  std::error_code ignored;
  const auto self = std::filesystem::canonical(info.dli_fname, ignored);
  const auto path = self.parent_path() / kLibrary;
  return !self.empty() && std::filesystem::exists(path, ignored) ? path : std::filesystem::path();
}

/// The handle of the library, opened by the first call that succeeds and never closed.
void* library() {
  static std::mutex mutex;
  static void* handle = nullptr;
  const std::lock_guard<std::mutex> lock(mutex);
  if (handle) return handle;
  const auto path = beside_this_library();
  handle = dlopen(path.empty() ? kLibrary : path.c_str(), RTLD_NOW | RTLD_GLOBAL);
  if (!handle) throw Error(std::string("CUDA was requested, but ") + kLibrary + " cannot be opened: " + dl_error());
  return handle;
}

}  // namespace

void load_cuda_library() { library(); }

CudaDevice cuda_device(int index) {
  const auto query = reinterpret_cast<HmrnnCudaQueryDevice>(dlsym(library(), "hmrnn_cuda_query_device"));
  if (!query) throw Error(std::string("CUDA was requested, but ") + kLibrary + " is of another version: " + dl_error());
  HmrnnCudaDevice found{};
  char message[256] = "";
  if (query(index, &found, message, sizeof(message)) != 0)
    throw Error("device 'cuda:" + std::to_string(index) + "' cannot be used: " + message);
  return {found.name, found.major, found.minor, found.free_bytes, found.total_bytes};
}

torch::Device resolve_device(const std::string& name) {
  if (name == "cpu") return torch::kCPU;
  if (name == "auto") {
    try {
      return resolve_device("cuda");
    } catch (const Error&) {
      return torch::kCPU;
    }
  }
  int index = 0;
  bool known = name == "cuda";
  if (!known && name.rfind("cuda:", 0) == 0) {
    const char* end = name.data() + name.size();
    const auto [rest, error] = std::from_chars(name.data() + 5, end, index);
    known = error == std::errc() && rest == end && index >= 0 && index <= INT8_MAX;  // c10::DeviceIndex is an int8_t
  }
  if (!known) throw Error("device '" + name + "' is not one of cpu, cuda, cuda:N, auto");
  cuda_device(index);
  if (!torch::cuda::is_available()) throw Error("device '" + name + "' cannot be used: LibTorch finds no CUDA device");
  return torch::Device(torch::kCUDA, static_cast<torch::DeviceIndex>(index));
}

std::string describe_device(torch::Device device) {
  if (!device.is_cuda()) return device.str();
  const int index = device.has_index() ? device.index() : 0;
  const auto found = cuda_device(index);
  constexpr double gib = 1024.0 * 1024.0 * 1024.0;
  char memory[64];
  std::snprintf(memory, sizeof(memory), "%.1f of %.1f GiB free", found.free_bytes / gib, found.total_bytes / gib);
  return "cuda:" + std::to_string(index) + " (" + found.name + ", compute capability " + std::to_string(found.major) +
         "." + std::to_string(found.minor) + ", " + memory + ")";
}

}  // namespace hmrnn
