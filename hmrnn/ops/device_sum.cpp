#include "hmrnn/ops/device_sum.h"

#include <atomic>

#include "hmrnn/error.h"
#include "hmrnn/ops/cuda_library.h"

namespace hmrnn {

namespace {

std::atomic<const DeviceSums*> registered_sums{nullptr};

const DeviceSums& sums_of(torch::Device device) {
  TORCH_CHECK(device.is_cuda(), "DeviceSum: ", device, " has none");
  load_cuda_library();
  const DeviceSums* sums = registered_sums;
  if (!sums) throw Error("NCCL was requested, but libhmrnn_cuda.so is of another version");
  return *sums;
}

}  // namespace

DeviceSum::~DeviceSum() = default;

const DeviceSums* register_device_sums(const DeviceSums* sums) { return registered_sums.exchange(sums); }

std::vector<uint8_t> make_device_sum_id(torch::Device device) { return sums_of(device).make_id(); }

std::unique_ptr<DeviceSum> make_device_sum(torch::Device device, int64_t rank, int64_t size,
                                           const std::vector<uint8_t>& id) {
  TORCH_CHECK(static_cast<int64_t>(id.size()) == kDeviceSumId, "make_device_sum: the id has ", id.size(), " bytes");
  return sums_of(device).make(device, rank, size, id);
}

}  // namespace hmrnn
