// NCCL (ops/device_sum.h), by LibTorch's own functions over it.
#include "hmrnn/ops/device_sum.h"

#include <ATen/cuda/CUDAEvent.h>
#include <c10/cuda/CUDAGuard.h>
#include <torch/csrc/cuda/nccl.h>

#include <algorithm>
#include <string>

#include "hmrnn/error.h"

namespace hmrnn {

namespace {

namespace nccl = torch::cuda::nccl;

static_assert(sizeof(nccl::ncclUniqueId) == kDeviceSumId);

/// Runs `work` and converts its exceptions to hmrnn::Error with one line.
template <typename Work>
auto with_errors_of_nccl(const Work& work) {
  try {
    return work();
  } catch (const std::exception& error) {
    const std::string text = error.what();
    throw Error("NCCL: " + text.substr(0, text.find('\n')));
  }
}

class NcclSum : public DeviceSum {
 public:
  NcclSum(torch::Device device, int64_t rank, int64_t size, const std::vector<uint8_t>& id) {
    const c10::cuda::CUDAGuard guard(device);
    nccl::ncclUniqueId shared;
    std::copy(id.begin(), id.end(), shared.internal);
    comm_ = with_errors_of_nccl(
        [&] { return nccl::comm_init_rank(static_cast<int>(size), shared, static_cast<int>(rank)); });
  }
  /// The communicator is left to the process's end: to destroy it would wait for processes that may be gone.
  ~NcclSum() override = default;

  void sum(const torch::Tensor& tensor) override {
    std::vector<torch::Tensor> tensors{tensor};
    with_errors_of_nccl(
        [&] { nccl::all_reduce(tensors, tensors, static_cast<int32_t>(nccl::ncclRedOp::Sum), {}, {comm_}); });
    last_.record(c10::cuda::getCurrentCUDAStream(tensor.device().index()));
  }
  bool ended() override {
    return with_errors_of_nccl([&] { return last_.query(); });
  }

 private:
  nccl::ncclComm_t comm_ = nullptr;
  at::cuda::CUDAEvent last_;  ///< the end of the last sum
};

[[maybe_unused]] const bool sum_registered = [] {
  static const DeviceSums sums = {[] {
                                    nccl::ncclUniqueId id;
                                    with_errors_of_nccl([&] { nccl::get_unique_id(id); });
                                    return std::vector<uint8_t>(id.internal, id.internal + kDeviceSumId);
                                  },
                                  [](torch::Device device, int64_t rank, int64_t size,
                                     const std::vector<uint8_t>& id) -> std::unique_ptr<DeviceSum> {
                                    return std::make_unique<NcclSum>(device, rank, size, id);
                                  }};
  register_device_sums(&sums);
  return true;
}();

}  // namespace

}  // namespace hmrnn
