#include <ATen/Context.h>

#include "catch.h"
#include "hmrnn/error.h"
#include "hmrnn/ops/product_dtype.h"
#include "hmrnn/tasks/evaluate_text.h"
#include "support/cuda.h"

using namespace hmrnn;

TEST_CASE("the names of product dtypes") {
  CHECK(resolve_product_dtype("float32", torch::kCUDA) == std::nullopt);
  CHECK(resolve_product_dtype("tf32", torch::kCUDA) == std::nullopt);
  CHECK(resolve_product_dtype("bfloat16", torch::kCPU) == torch::kBFloat16);
  CHECK(resolve_product_dtype("auto", torch::kCUDA) == torch::kBFloat16);
  CHECK(resolve_product_dtype("auto", torch::kCPU).has_value() == cpu_has_bfloat16());
  CHECK_THROWS_WITH(resolve_product_dtype("tf32", torch::kCPU),
                    "dtype 'tf32' is one of CUDA devices, not of device 'cpu'");
  CHECK_THROWS_WITH(resolve_product_dtype("half", torch::kCPU),
                    "dtype 'half' is not one of float32, tf32, bfloat16, auto");
}

namespace {

at::Float32Precision precision() {
  return at::globalContext().float32Precision(at::Float32Backend::CUDA, at::Float32Op::MATMUL);
}

}  // namespace

TEST_CASE("TF32 is allowed for a while, and what was set before is so again") {
  auto& context = at::globalContext();
  REQUIRE(precision() != at::Float32Precision::TF32);
  {
    const TF32Products tf32(true);
    CHECK(context.allowTF32CuBLAS());
    CHECK(precision() == at::Float32Precision::TF32);
    {
      const TF32Products full(false);
      CHECK_FALSE(context.allowTF32CuBLAS());
    }
    CHECK(context.allowTF32CuBLAS());
  }
  CHECK_FALSE(context.allowTF32CuBLAS());

  SECTION("medium") {
    context.setFloat32MatmulPrecision("medium");
    { const TF32Products full(false); }
    CHECK(context.float32MatmulPrecision() == at::Float32MatmulPrecision::MEDIUM);
    CHECK(precision() == at::Float32Precision::TF32);
    { const TF32Products tf32(true); }
    CHECK(context.float32MatmulPrecision() == at::Float32MatmulPrecision::MEDIUM);
    context.setFloat32MatmulPrecision("highest");
  }
  SECTION("by the newer interface alone") {
    context.setFloat32Precision(at::Float32Backend::CUDA, at::Float32Op::MATMUL, at::Float32Precision::TF32);
    {
      const TF32Products full(false);
      CHECK_FALSE(context.allowTF32CuBLAS());
    }
    CHECK(precision() == at::Float32Precision::TF32);
  }
  context.setAllowTF32CuBLAS(false);
}

TEST_CASE("an evaluation on a GPU is without TF32", "[cuda]") {
  const auto device = test::find_cuda();
  if (!device) return;
  const TF32Products tf32(true);
  CharLM model(CharLMOptions(5).embedding_size(3).hidden_sizes({4}).output_embedding_size(3));
  model->to(*device);
  bool during = true;
  const auto stop = [&] {
    during = at::globalContext().allowTF32CuBLAS();
    return true;
  };
  evaluate_text(model, TextStreams(torch::zeros({200}, torch::kUInt8), 2, 20, true), *device, 1, stop);
  CHECK_FALSE(during);
  CHECK(at::globalContext().allowTF32CuBLAS());
}
