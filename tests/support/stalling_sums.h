// A substitute for NCCL whose sums can stall.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <vector>

#include "hmrnn/ops/cuda_library.h"
#include "hmrnn/ops/device_sum.h"

namespace hmrnn::test {

/// Registered in NCCL's place for its lifetime: sums that change nothing, and that do not end while `stalled`.
class StallingSums {
 public:
  StallingSums() {
    load_cuda_library();  // registers NCCL
    static const DeviceSums sums = {
        [] { return std::vector<uint8_t>(kDeviceSumId); },
        [](torch::Device, int64_t, int64_t, const std::vector<uint8_t>&) -> std::unique_ptr<DeviceSum> {
          return std::make_unique<Sum>();
        }};
    stalled = false;
    before_ = register_device_sums(&sums);
  }
  ~StallingSums() { register_device_sums(before_); }
  StallingSums(const StallingSums&) = delete;
  StallingSums& operator=(const StallingSums&) = delete;

  static inline std::atomic<bool> stalled{false};

 private:
  struct Sum : DeviceSum {
    void sum(const torch::Tensor&) override {}
    bool ended() override { return !stalled; }
  };

  const DeviceSums* before_;
};

}  // namespace hmrnn::test
