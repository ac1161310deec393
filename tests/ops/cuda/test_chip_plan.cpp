// Distribution of the persistent kernel's weights over the blocks (hmrnn/ops/cuda/hm_lstm_chip.h).
#include <algorithm>
#include <map>
#include <vector>

#include "catch.h"
#include "hmrnn/ops/cuda/hm_lstm_chip.h"

namespace hmrnn::cuda {

namespace {

/// As layer_shapes creates them.
std::vector<LayerShape> stack(const std::vector<int64_t>& units) {
  std::vector<LayerShape> out;
  for (size_t l = 0; l < units.size(); ++l) {
    LayerShape y;
    y.units = units[l];
    y.first = l == 0;
    y.below = l == 0 ? 128 : units[l - 1];
    y.above = l + 1 < units.size() ? units[l + 1] : 0;
    y.bottom_up = 4 * y.units;
    y.top_down = y.bottom_up + 4 * y.above;
    y.width = y.top_down + (y.first ? 0 : 4 * y.below);
    out.push_back(y);
  }
  return out;
}

const ChipDevice kH100{132, 227 * 1024}, kA100{108, 163 * 1024}, kSmall{16, 227 * 1024};

}  // namespace

TEST_CASE("every weight of a window is kept by one block, in memory of its own") {
  struct Case {
    std::vector<int64_t> units;
    int64_t batch;
    ChipDevice device;
  };
  const Case all[] = {{{512, 512, 512}, 64, kH100}, {{400, 400, 400}, 32, kH100}, {{512}, 128, kH100},
                      {{16, 48, 32}, 16, kSmall},   {{16, 16}, 48, kH100},        {{80, 16, 16, 112}, 16, kSmall},
                      {{128, 128, 128}, 16, kSmall}};
  for (const auto& c : all) {
    for (const bool forward : {true, false}) {
      INFO(c.units.size() << " layers, the first of " << c.units[0] << ", " << (forward ? "forwards" : "backwards"));
      const auto layers = stack(c.units);
      const auto plan = plan_chip(layers, 100, c.batch, forward, c.device);
      REQUIRE(plan);
      CHECK(c.batch % plan->rows == 0);
      std::vector<std::vector<int>> keepers;
      for (const auto& y : layers) keepers.emplace_back(y.width * y.units, 0);
      for (int block = 0; block < plan->blocks; ++block) {
        int next = 0, cells = 0;
        each_cell(*plan, block, [&](const ChipCell& cell) {
          CHECK(cell.columns > 0);
          CHECK((cell.columns % kTile == 0 && cell.depth % kTile == 0));
          CHECK(cell.depth + kPadding <= plan->staged_stride);
          CHECK(cell.weights == next);  // one after the other
          next += cell.columns * cell.stride();
          ++cells;
          const auto& y = layers[cell.layer];
          for (int column = cell.column; column < cell.column + cell.columns; ++column) {
            for (int k = cell.begin; k < cell.begin + cell.depth; ++k) {
              ++keepers[cell.layer][forward ? column * y.units + k : k * y.units + column];
            }
          }
        });
        CHECK(cells <= kMaxCells);
        CHECK(static_cast<int64_t>(sizeof(ChipHeader)) + 2 * (plan->rows * plan->staged_stride + next) <=
              plan->shared_bytes);
      }
      CHECK(plan->shared_bytes <= c.device.shared_bytes);
      for (const auto& layer : keepers) {
        CHECK(std::all_of(layer.begin(), layer.end(), [](int n) { return n == 1; }));
      }
    }
  }
}

TEST_CASE("every block has a share of every wave") {
  for (const bool forward : {true, false}) {
    const auto plan = plan_chip(stack({512, 512, 512}), 100, 64, forward, kH100);
    REQUIRE(plan);
    int64_t most[2] = {0, 0}, all[2] = {0, 0};
    for (int block = 0; block < plan->blocks; ++block) {
      int64_t own[2] = {0, 0};
      each_cell(*plan, block,
                [&](const ChipCell& cell) { own[cell.layer % 2] += static_cast<int64_t>(cell.columns) * cell.depth; });
      for (int odd = 0; odd < 2; ++odd) most[odd] = std::max(most[odd], own[odd]), all[odd] += own[odd];
    }
    // The busiest block of a wave has at most a tenth more than the mean.
    for (int odd = 0; odd < 2; ++odd) CHECK(most[odd] * plan->blocks < 1.1 * all[odd]);
  }
}

TEST_CASE("what does not fit has no plan") {
  const auto plan = [](const std::vector<int64_t>& units, int64_t steps, int64_t batch, const ChipDevice& device) {
    const auto forward = plan_chip(stack(units), steps, batch, true, device);
    const auto backward = plan_chip(stack(units), steps, batch, false, device);
    return forward.has_value() && backward.has_value();
  };
  CHECK(plan({512, 512, 512}, 100, 64, kH100));
  CHECK(plan({512, 512, 512}, kMinChipSteps, 128, kH100));
  CHECK_FALSE(plan({512, 512, 512}, kMinChipSteps - 1, 64, kH100));
  CHECK_FALSE(plan({512, 512, 512}, 100, 60, kH100));
  CHECK_FALSE(plan({512, 500, 512}, 100, 64, kH100));
  CHECK_FALSE(plan({1024, 1024, 1024}, 100, 128, kH100));  // needs 59 MB of 30
  CHECK_FALSE(plan({512, 512, 512}, 100, 64, kSmall));
  CHECK_FALSE(plan({16, 16, 16, 16, 16}, 100, 64, kH100));  // more layers than the kernel supports
  CHECK_FALSE(plan({64, 64}, 100, 64, {}));                 // a device that does not support the kernel
  // Fewer rows at a time if shared memory is small.
  const auto wide = plan_chip(stack({448, 448, 448}), 100, 64, true, kA100);
  REQUIRE(wide);
  CHECK(wide->rows < 64);
}

}  // namespace hmrnn::cuda
