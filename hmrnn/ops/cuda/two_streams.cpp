#include "hmrnn/ops/cuda/two_streams.h"

#include <c10/cuda/CUDAGuard.h>

#include <mutex>
#include <optional>

namespace hmrnn::cuda {

namespace {

/// The second stream of a device, always the same one: LibTorch keeps a cuBLAS workspace for each stream that has ever
/// run a product.
c10::cuda::CUDAStream second_stream(c10::DeviceIndex device) {
  static std::mutex mutex;
  static std::vector<std::optional<c10::cuda::CUDAStream>> streams(C10_COMPILE_TIME_MAX_GPUS);
  const std::lock_guard<std::mutex> lock(mutex);
  auto& stream = streams.at(device);
  if (!stream) stream = c10::cuda::getStreamFromPool(/*isHighPriority=*/false, device);
  return *stream;
}

}  // namespace

void TwoStreams::run(const std::vector<std::function<void()>>& work) {
  if (work.size() < 2) {
    for (const auto& piece : work) piece();
    return;
  }
  const auto first = c10::cuda::getCurrentCUDAStream();
  const auto second = second_stream(first.device_index());
  fork_.record(first);
  fork_.block(second);
  for (size_t i = 0; i < work.size(); ++i) {
    const c10::cuda::CUDAStreamGuard guard(i % 2 == 0 ? first : second);
    work[i]();
  }
  join_.record(second);
  join_.block(first);
}

}  // namespace hmrnn::cuda
