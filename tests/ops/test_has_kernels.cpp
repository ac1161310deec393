// Which devices have their own kernels; the others get the composite.
#include <torch/types.h>

#include "catch.h"
#include "hmrnn/ops/has_kernels.h"

using namespace hmrnn;

TEST_CASE("has_kernels: registered for the CPU, not for a device that nobody has registered") {
  auto& dispatcher = c10::Dispatcher::singleton();
  for (const char* name : {"hmrnn::_hm_lstm_forward", "hmrnn::_gated_output_forward"}) {
    INFO(name);
    const auto op = dispatcher.findSchemaOrThrow(name, "");
    CHECK(has_kernels(op, torch::zeros({2})));
    CHECK(has_kernels(op, torch::zeros({2}).requires_grad_()));  // with any dispatch key above the backend's
    CHECK(has_kernels(op, torch::zeros({2}, torch::kBFloat16)));
    CHECK_FALSE(has_kernels(op, torch::zeros({2}, torch::kMeta)));
  }
}
