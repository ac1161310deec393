#include "catch.h"
#include "hmrnn/error.h"
#include "hmrnn/train/carried_state.h"
#include "support/tensors.h"

using namespace hmrnn;

namespace {

HMLSTMState state_of(int64_t rows, double value) {
  return {{torch::full({rows, 3}, value), torch::full({rows, 2}, value)},
          {torch::full({rows, 3}, 2 * value), torch::full({rows, 2}, 2 * value)},
          torch::full({rows, 1}, value)};
}

}  // namespace

TEST_CASE("carried state: that of the window before, or zeros after a skipped update") {
  CarriedState carried;
  carried.reserve(state_of(6, 0));
  carried.start(4);
  carried.set_next(state_of(4, 1));
  carried.settle(torch::zeros({}));
  const auto at = carried.current().h[0].data_ptr();
  auto next = state_of(4, 0.5);
  next.h[0].requires_grad_();
  carried.set_next(next);
  CHECK(carried.current().h[1][0][0].item<float>() == 1);  // unchanged until settle
  carried.settle(torch::zeros({}));
  CHECK(carried.current().h[0][3][2].item<float>() == 0.5F);
  CHECK_FALSE(carried.current().h[0].requires_grad());
  carried.set_next(state_of(4, 0.25));
  carried.settle(torch::ones({}));
  for (const auto& x : {carried.current().h[0], carried.current().c[1], carried.current().z}) {
    CHECK(x.size(0) == 4);
    CHECK(x.abs().sum().item<float>() == 0);
  }
  // always in the same memory, whose address a graph contains
  carried.start(6);
  CHECK(carried.current().batch() == 6);
  carried.start(4);
  CHECK(carried.current().h[0].data_ptr() == at);
  CHECK_THROWS_WITH(carried.start(7), ContainsSubstring("no room for 7"));
}

TEST_CASE("carried state: saved and loaded, with as many rows as there were; what does not fit is named") {
  CarriedState carried, again;
  carried.reserve(state_of(3, 0));
  carried.set_next(state_of(3, 0.75));
  carried.settle(torch::zeros({}));
  SafeTensors file;
  carried.save(file);
  again.reserve(state_of(3, 0));
  again.load(file, "FILE");
  CHECK(test::same(again.current().c[1], carried.current().c[1]));
  CHECK(test::same(again.current().z, carried.current().z));
  again.reserve(state_of(5, 0));
  CHECK_THROWS_WITH(again.load(file, "FILE"), ContainsSubstring("FILE: tensor state.h.0 has shape"));
  again.load(file, "FILE", /*any_batch=*/true);
  CHECK(again.current().batch() == 3);
  CHECK(test::same(again.current().c[1], carried.current().c[1]));
  CarriedState small;
  small.reserve(state_of(2, 0));
  CHECK_THROWS_WITH(small.load(file, "FILE", true), ContainsSubstring("FILE: tensor state.h.0 has shape"));

  auto changed = file;
  changed.tensors.back().second = torch::zeros({2, 1});
  CHECK_THROWS_WITH(again.load(changed, "FILE", true), ContainsSubstring("tensor state.z has shape"));
  changed.tensors.pop_back();
  CHECK_THROWS_WITH(again.load(changed, "FILE", true), ContainsSubstring("tensor state.z is missing"));
  changed = file;
  changed.tensors[1].second = torch::zeros({3, 3}, torch::kInt64);
  CHECK_THROWS_AS(again.load(changed, "FILE", true), Error);
}
