#pragma once

#include <torch/types.h>

#include <cstdint>
#include <memory>
#include <vector>

#include "hmrnn/export.h"

namespace hmrnn {

/// Sums tensors over several processes, of which each has a GPU of its own (NCCL).
class HMRNN_API DeviceSum {
 public:
  virtual ~DeviceSum();
  /// Replaces `tensor`, contiguous, on this process's device and of the same size everywhere, by the sum over all
  /// processes, on the device's current stream. Does not wait. All processes call it, in the same order.
  virtual void sum(const torch::Tensor& tensor) = 0;
};

/// Bytes of what the processes of one group have to share before make_device_sum.
constexpr int64_t kDeviceSumId = 128;
/// Makes them, in one of the processes. Opens libhmrnn_cuda; throws hmrnn::Error if that cannot be opened.
HMRNN_API std::vector<uint8_t> make_device_sum_id(torch::Device device);
/// This process's part, on `device`; all of them call it with the same `id`, and wait for each other. Throws
/// hmrnn::Error with NCCL's reason.
HMRNN_API std::unique_ptr<DeviceSum> make_device_sum(torch::Device device, int64_t rank, int64_t size,
                                                     const std::vector<uint8_t>& id);

/// How libhmrnn_cuda tells this library about NCCL when it is opened.
struct DeviceSums {
  std::vector<uint8_t> (*make_id)();
  std::unique_ptr<DeviceSum> (*make)(torch::Device device, int64_t rank, int64_t size, const std::vector<uint8_t>& id);
};
HMRNN_API void register_device_sums(const DeviceSums* sums);

}  // namespace hmrnn
