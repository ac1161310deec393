// Which devices have their own kernels; the others get the composite.
#include <torch/types.h>

#include "catch.h"
#include "hmrnn/ops/has_kernels.h"

using namespace hmrnn;

TEST_CASE("has_kernels: registered for the CPU and for shapes alone, not for a device without registration") {
  auto& dispatcher = c10::Dispatcher::singleton();
  for (const char* name : {"hmrnn::_hm_lstm_forward", "hmrnn::_gated_output_forward"}) {
    INFO(name);
    const auto op = dispatcher.findSchemaOrThrow(name, "");
    CHECK(has_kernels(op, torch::zeros({2})));
    CHECK(has_kernels(op, torch::zeros({2}).requires_grad_()));  // whatever dispatch keys are above the backend's
    CHECK(has_kernels(op, torch::zeros({2}, torch::kBFloat16)));
    CHECK(has_kernels(op, torch::empty({2}, torch::kMeta)));
    const auto elsewhere = at::detail::make_tensor<c10::TensorImpl>(
        c10::DispatchKeySet(c10::DispatchKey::XLA), caffe2::TypeMeta::Make<float>(), at::Device(at::kXLA, 0));
    CHECK_FALSE(has_kernels(op, elsewhere));
  }
}
