#pragma once

#include <torch/types.h>

#include <cstdint>
#include <memory>
#include <vector>

#include "hmrnn/export.h"

namespace hmrnn {

/// Sums tensors over several processes, each with its own GPU (NCCL).
class HMRNN_API DeviceSum {
 public:
  virtual ~DeviceSum();
  /// Replaces `tensor`, contiguous, on this process's device and of the same size everywhere, by the sum over all
  /// processes, on the device's current stream. Does not wait. All processes call it, in the same order.
  virtual void sum(const torch::Tensor& tensor) = 0;
  /// Whether all sums so far have ended on the device. Does not wait. Throws hmrnn::Error if the device has failed.
  virtual bool ended() = 0;
};

/// Bytes of the id that the processes of a group share before make_device_sum.
constexpr int64_t kDeviceSumId = 128;
/// Makes the id, in one of the processes. Opens libhmrnn_cuda; throws hmrnn::Error if that cannot be opened.
HMRNN_API std::vector<uint8_t> make_device_sum_id(torch::Device device);
/// Joins the group on `device`. All processes call it with the same `id` and wait for each other. Throws
/// hmrnn::Error with NCCL's reason.
HMRNN_API std::unique_ptr<DeviceSum> make_device_sum(torch::Device device, int64_t rank, int64_t size,
                                                     const std::vector<uint8_t>& id);

/// Functions that libhmrnn_cuda registers with register_device_sums when it is opened.
struct DeviceSums {
  using MakeId = std::vector<uint8_t> (*)();  ///< type of make_id
  /// Type of make.
  using Make = std::unique_ptr<DeviceSum> (*)(torch::Device device, int64_t rank, int64_t size,
                                              const std::vector<uint8_t>& id);
  MakeId make_id;  ///< make_device_sum_id
  Make make;       ///< make_device_sum
};
/// Called by libhmrnn_cuda; `sums` must stay valid. Returns those registered before.
HMRNN_API const DeviceSums* register_device_sums(const DeviceSums* sums);

}  // namespace hmrnn
