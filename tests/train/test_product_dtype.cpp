#include <ATen/Context.h>

#include "catch.h"
#include "hmrnn/error.h"
#include "hmrnn/train/evaluate.h"
#include "hmrnn/train/product_dtype.h"

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

TEST_CASE("TF32 is allowed for a while, and never in an evaluation") {
  const auto allowed = [] { return at::globalContext().allowTF32CuBLAS(); };
  const bool before = allowed();
  {
    const TF32Products tf32(true);
    CHECK(allowed());
    CharLM model(CharLMOptions(5).embedding_size(3).hidden_sizes({4}).output_embedding_size(3));
    bool during = true;
    const auto stop = [&] {
      during = allowed();
      return true;
    };
    const TextStreams streams(torch::zeros({200}, torch::kUInt8), 2, 20, true);
    evaluate_text(model, streams, torch::kCPU, 1, stop);
    CHECK_FALSE(during);
    CHECK(allowed());
  }
  CHECK(allowed() == before);
}
