#include "catch.h"
#include "hmrnn/error.h"
#include "hmrnn/ops/device_sum.h"
#include "support/cuda.h"

using namespace hmrnn;
using hmrnn::test::find_cuda;
using hmrnn::test::is_emulated;

TEST_CASE("NCCL sums are only for CUDA devices: an error for others") {
  CHECK_THROWS_AS(make_device_sum_id(torch::kCPU), c10::Error);
  CHECK_THROWS_AS(make_device_sum(torch::kCPU, 0, 1, std::vector<uint8_t>(kDeviceSumId)), c10::Error);
}

// One GPU is enough for a group of one; the sum of several needs as many GPUs.
TEST_CASE("NCCL in a group of one", "[cuda]") {
  const auto device = find_cuda();
  if (!device) return;
  if (is_emulated(*device)) {
    std::cout << "skipped: the emulated GPU has no NCCL" << std::endl;
    return;
  }
  const auto id = make_device_sum_id(*device);
  CHECK(id.size() == static_cast<size_t>(kDeviceSumId));
  const auto sum = make_device_sum(*device, 0, 1, id);
  for (const auto type : {torch::kFloat32, torch::kFloat64}) {
    const auto x = torch::arange(1000, torch::TensorOptions(*device).dtype(type));
    const auto before = x.clone();
    sum->sum(x);
    CHECK(torch::equal(x, before));
  }
  CHECK_THROWS_AS(make_device_sum(*device, 0, 1, {}), c10::Error);
}
