#include "hmrnn/ops/cpu/tile_product.h"

#include <ATen/Context.h>
#include <ATen/native/CPUBlas.h>

#include "hmrnn/ops/cpu/cpu_feature.h"

namespace hmrnn::cpu {

namespace blas = at::native::cpublas;

bool has_tile_products() { return cpu_has("amx_bf16") && blas::could_pack(at::kBFloat16); }

bool tile_products_enabled() { return at::globalContext().userEnabledMkldnn(); }

void tile_product(int64_t m, int64_t k, const c10::BFloat16* x, int64_t stride, const c10::BFloat16* panel,
                  int64_t width, float* sums) {
  blas::brgemm(m, width, k, stride, width, width, /*add_C=*/false, x, panel, sums, /*is_vnni=*/true);
}

void end_tile_products() {
  if (tile_products_enabled()) blas::brgemm_release(/*is_vnni=*/true);
}

}  // namespace hmrnn::cpu
