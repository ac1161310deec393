#include "hmrnn/models/copy_weights.h"

#include <torch/types.h>

namespace hmrnn {

void copy_weights(torch::nn::Module& module, const torch::nn::Module& source,
                  const std::function<bool(const std::string&)>& may_grow) {
  const torch::NoGradGuard no_grad;
  const auto from = source.named_parameters();
  for (auto& item : module.named_parameters()) {
    const auto* value = from.find(item.key());
    TORCH_CHECK(value, "init_from: the source has no ", item.key());
    auto to = item.value().detach();
    if (may_grow(item.key()) && to.size(0) > value->size(0)) to = to.narrow(0, 0, value->size(0));
    TORCH_CHECK(to.sizes() == value->sizes(), "init_from: ", item.key(), " has shape ", value->sizes(), ", not ",
                to.sizes());
    to.copy_(*value);
  }
}

}  // namespace hmrnn
