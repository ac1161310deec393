#include "hmrnn/io/checkpoint.h"

#include <unordered_map>
#include <utility>
#include <vector>

#include "hmrnn/error.h"
#include "hmrnn/io/safetensors_header.h"

namespace hmrnn {
namespace {

std::vector<std::pair<std::string, torch::Tensor>> named_tensors(const torch::nn::Module& module, bool buffers) {
  std::vector<std::pair<std::string, torch::Tensor>> result;
  for (const auto& item : module.named_parameters()) result.emplace_back(item.key(), item.value());
  if (!buffers) return result;
  for (const auto& item : module.named_buffers()) {
    if (item.value().defined()) result.emplace_back(item.key(), item.value());
  }
  return result;
}

/// "[2,3] F32"
std::string describe(torch::IntArrayRef shape, torch::ScalarType dtype) {
  std::string text = "[";
  for (size_t i = 0; i < shape.size(); ++i) text.append(i ? "," : "").append(std::to_string(shape[i]));
  const std::string_view name = safetensors_dtype_name(dtype);
  return text + "] " + (name.empty() ? c10::toString(dtype) : std::string(name));
}

std::string describe(const torch::Tensor& tensor) {
  return tensor.defined() ? describe(tensor.sizes(), tensor.scalar_type()) : "an undefined tensor";
}

}  // namespace

SafeTensors pack_module(const torch::nn::Module& module, bool buffers) {
  SafeTensors file;
  for (const auto& [name, tensor] : named_tensors(module, buffers)) {
    TORCH_CHECK(tensor.is_floating_point(), "pack_module: '", name, "' is ", tensor.scalar_type(),
                ", expected a floating-point tensor");
    file.tensors.emplace_back(name, tensor.detach().to(torch::kCPU, torch::kFloat32, /*non_blocking=*/false,
                                                       /*copy=*/true, torch::MemoryFormat::Contiguous));
  }
  return file;
}

void unpack_module(torch::nn::Module& module, const SafeTensors& file, const std::string& path, bool buffers) {
  const auto fail = [&path](const std::string& name, const std::string& expected, const std::string& found) {
    throw Error(path + ": tensor " + quote(name) + ": expected " + expected + ", found " + found);
  };
  std::unordered_map<std::string, torch::Tensor> given;
  for (const auto& [name, tensor] : file.tensors) {
    if (!given.emplace(name, tensor).second) fail(name, "one tensor of that name", "two");
  }
  std::vector<std::pair<torch::Tensor, torch::Tensor>> copies;
  for (const auto& [name, target] : named_tensors(module, buffers)) {
    TORCH_CHECK(target.is_floating_point(), "unpack_module: '", name, "' is ", target.scalar_type(),
                ", expected a floating-point tensor");
    const std::string expected = describe(target.sizes(), torch::kFloat32);
    const auto source = given.find(name);
    if (source == given.end()) fail(name, expected, "no such tensor");
    const torch::Tensor& tensor = source->second;
    if (!tensor.defined() || tensor.scalar_type() != torch::kFloat32 || tensor.sizes() != target.sizes()) {
      fail(name, expected, describe(tensor));
    }
    copies.emplace_back(target, tensor);
    given.erase(source);
  }
  for (const auto& [name, tensor] : file.tensors) {  // in file order, so that the message is deterministic
    if (given.contains(name)) fail(name, "no such tensor in this model", describe(tensor));
  }
  const torch::NoGradGuard no_grad;
  for (auto& [target, source] : copies) target.copy_(source);
}

void convert_floating_point(SafeTensors& file, torch::ScalarType dtype) {
  const auto known = [](torch::ScalarType type) {
    return type == torch::kFloat16 || type == torch::kBFloat16 || type == torch::kFloat32;
  };
  TORCH_CHECK(known(dtype), "convert_floating_point: dtype must be float16, bfloat16 or float32, got ", dtype);
  for (auto& item : file.tensors) {
    if (item.second.defined() && known(item.second.scalar_type())) item.second = item.second.to(dtype);
  }
}

}  // namespace hmrnn
