#include "catch.h"
#include "hmrnn/io/checkpoint.h"
#include "support/files.h"

namespace {

/// A model with two parameters, a submodule with two, and a buffer.
struct ModelImpl : torch::nn::Module {
  explicit ModelImpl(int64_t width) {
    weight = register_parameter("weight", torch::randn({width, 3}));
    scale = register_parameter("scale", torch::randn({}));
    linear = register_module("linear", torch::nn::Linear(width, 2));
    mean = register_buffer("mean", torch::randn({width}));
  }
  torch::Tensor weight, scale, mean;
  torch::nn::Linear linear{nullptr};
};
TORCH_MODULE(Model);

std::vector<torch::Tensor> tensors_of(const Model& model) {
  return {model->weight, model->scale, model->linear->weight, model->linear->bias, model->mean};
}

std::vector<torch::Tensor> copies_of(const Model& model) {
  std::vector<torch::Tensor> copies;
  for (const auto& tensor : tensors_of(model)) copies.push_back(tensor.detach().clone());
  return copies;
}

void check_equal(const std::vector<torch::Tensor>& a, const std::vector<torch::Tensor>& b) {
  REQUIRE(a.size() == b.size());
  for (size_t i = 0; i < a.size(); ++i) CHECK(torch::equal(a[i], b[i]));
}

}  // namespace

TEST_CASE("a module through a file and back, bit for bit") {
  const TemporaryFolder folder;
  Model a(4), b(4);
  REQUIRE_FALSE(torch::equal(a->weight, b->weight));
  hmrnn::SafeTensors file = hmrnn::pack_module(*a);
  std::vector<std::string> names;
  for (const auto& item : file.tensors) names.push_back(item.first);
  CHECK(names == std::vector<std::string>{"weight", "scale", "linear.weight", "linear.bias", "mean"});
  file.metadata["hmrnn"] = "{}";
  hmrnn::write_safetensors(folder / "m", file);
  const hmrnn::SafeTensors read = hmrnn::read_safetensors(folder / "m");
  CHECK(read.metadata == file.metadata);
  hmrnn::unpack_module(*b, read, "m");
  check_equal(tensors_of(a), tensors_of(b));
  CHECK(b->weight.requires_grad());
  CHECK(b->weight.is_leaf());
  CHECK_FALSE(b->mean.requires_grad());
}

TEST_CASE("packed tensors are copies without gradients") {
  Model model(4);
  const auto before = copies_of(model);
  const hmrnn::SafeTensors file = hmrnn::pack_module(*model);
  {
    const torch::NoGradGuard no_grad;
    model->weight.zero_();
    model->mean.zero_();
  }
  CHECK(torch::equal(file.find("weight"), before[0]));
  CHECK(torch::equal(file.find("mean"), before[4]));
  CHECK_FALSE(file.find("weight").requires_grad());
  CHECK_FALSE(file.find("no").defined());
}

TEST_CASE("a module of another floating-point dtype is packed as float32 and keeps its dtype") {
  Model a(4), b(4);
  const auto before = copies_of(a);
  a->to(torch::kFloat64);
  b->to(torch::kFloat64);
  const hmrnn::SafeTensors file = hmrnn::pack_module(*a);
  for (const auto& item : file.tensors) CHECK(item.second.scalar_type() == torch::kFloat32);
  hmrnn::unpack_module(*b, file, "m");
  CHECK(b->weight.scalar_type() == torch::kFloat64);
  CHECK(torch::equal(b->weight.to(torch::kFloat32), before[0]));
}

TEST_CASE("what does not fit is named, and nothing is loaded") {
  Model source(4), target(4);
  const auto before = copies_of(target);
  const auto error = [&](const std::function<void(hmrnn::SafeTensors&)>& spoil) {
    hmrnn::SafeTensors file = hmrnn::pack_module(*source);
    spoil(file);
    const std::string text = error_of([&] { hmrnn::unpack_module(*target, file, "RUN/m"); });
    check_equal(tensors_of(target), before);
    return text;
  };
  // The last tensor is wrong, so that all others could have been copied before.
  CHECK(error([](auto& file) { file.tensors.pop_back(); }) ==
        "RUN/m: tensor \"mean\": expected [4] F32, found no such tensor");
  CHECK(error([](auto& file) {
          file.tensors.back().second = torch::zeros({2, 2});
        }) == "RUN/m: tensor \"mean\": expected [4] F32, found [2,2] F32");
  CHECK(error([](auto& file) { file.tensors.back().second = torch::zeros({4}, torch::kFloat64); }) ==
        "RUN/m: tensor \"mean\": expected [4] F32, found [4] F64");
  CHECK(error([](auto& file) { file.tensors[1].second = torch::zeros({1}); }) ==
        "RUN/m: tensor \"scale\": expected [] F32, found [1] F32");
  CHECK(error([](auto& file) { file.tensors.back().second = torch::Tensor(); }) ==
        "RUN/m: tensor \"mean\": expected [4] F32, found an undefined tensor");
  CHECK(error([](auto& file) { file.tensors.emplace_back("linear.extra", torch::zeros({1})); }) ==
        "RUN/m: tensor \"linear.extra\": expected no such tensor in this model, found [1] F32");
  CHECK(error([](auto& file) { file.tensors.push_back(file.tensors.front()); }) ==
        "RUN/m: tensor \"weight\": expected one tensor of that name, found two");
  CHECK(error([](auto& file) { file.tensors[2].first = "linear.weights"; }) ==
        "RUN/m: tensor \"linear.weight\": expected [2,4] F32, found no such tensor");
}

TEST_CASE("an integer buffer cannot be packed") {
  torch::nn::Module module;
  module.register_buffer("count", torch::zeros({1}, torch::kInt64));
  CHECK_THROWS_WITH(hmrnn::pack_module(module), ContainsSubstring("'count' is Long"));
}

TEST_CASE("weights kept in 16 bits are rounded to the nearest, and are float32 again to load; other dtypes stay") {
  const TemporaryFolder folder;
  Model a(4), b(4);
  auto file = hmrnn::pack_module(*a);
  file.tensors.emplace_back("count", torch::tensor({1, 2}, torch::kInt64));
  file.tensors.emplace_back("wide", torch::tensor({0.1}, torch::kFloat64));
  for (const auto dtype : {torch::kBFloat16, torch::kFloat16}) {
    auto small = file;
    hmrnn::convert_floating_point(small, dtype);
    CHECK(file.find("weight").scalar_type() == torch::kFloat32);
    hmrnn::write_safetensors(folder / "m", small);
    auto read = hmrnn::read_safetensors(folder / "m");
    CHECK(read.find("weight").scalar_type() == dtype);
    hmrnn::convert_floating_point(read, torch::kFloat32);
    CHECK(torch::equal(read.find("weight"), a->weight.detach().to(dtype).to(torch::kFloat32)));
    CHECK(read.find("count").scalar_type() == torch::kInt64);
    CHECK(torch::equal(read.find("wide"), file.find("wide")));
    read.tensors.resize(read.tensors.size() - 2);
    hmrnn::unpack_module(*b, read, "m");
    CHECK(torch::equal(b->linear->bias, a->linear->bias.detach().to(dtype).to(torch::kFloat32)));
  }
  CHECK_THROWS_AS(hmrnn::convert_floating_point(file, torch::kFloat64), c10::Error);
}
