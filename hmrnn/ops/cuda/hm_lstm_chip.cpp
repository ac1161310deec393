#include "hmrnn/ops/cuda/hm_lstm_chip.h"

#include <algorithm>

namespace hmrnn::cuda {

namespace {

constexpr int64_t kValueBytes = 2;

ChipProduct cut_forward(const LayerShape& y) { return {y.width, kTile, y.units, y.units, 1}; }

/// `blocks`: this layer's share of them.
ChipProduct cut_backward(const LayerShape& y, int64_t blocks) {
  ChipProduct p{y.units, std::min(kChunk, y.units), y.width, 0, 0};
  const int64_t parts = std::clamp(blocks / p.chunks(), int64_t{1}, kMaxParts), tiles = y.width / kTile;
  p.part_depth = (tiles + parts - 1) / parts * kTile;
  p.parts = (y.width + p.part_depth - 1) / p.part_depth;
  return p;
}

/// The largest number of weights that a block keeps, in values; nullopt if a block has too many cells.
std::optional<int64_t> most_weights(const ChipPlan& plan) {
  int64_t most = 0;
  for (int block = 0; block < plan.blocks; ++block) {
    int cells = 0;
    each_cell(plan, block, [&](const ChipCell& cell) {
      ++cells;
      most = std::max<int64_t>(most, cell.weights + cell.stride() * cell.columns);
    });
    if (cells > kMaxCells) return std::nullopt;
  }
  return most;
}

}  // namespace

std::optional<ChipPlan> plan_chip(const std::vector<LayerShape>& layers, int64_t steps, int64_t batch, bool forward,
                                  const ChipDevice& device) {
  if (device.blocks == 0 || layers.size() > kMaxChipLayers || steps < kMinChipSteps || batch % kTile != 0) return {};
  ChipPlan plan;
  plan.blocks = device.blocks;
  plan.layers = static_cast<int>(layers.size());
  plan.forward = forward;
  int64_t values[2] = {0, 0}, deepest = 0, widest = 0;  // values of the even layers' weights, and of the odd ones'
  for (size_t l = 0; l < layers.size(); ++l) {
    values[l % 2] += layers[l].width * layers[l].units;
    widest = std::max(widest, layers[l].units);
  }
  // As many as a row's 4d values, four at a time, keep busy: more would only make the barriers slower.
  plan.threads = static_cast<int>(std::clamp((widest + 31) / 32 * 32, int64_t{64}, int64_t{kChipThreads}));
  for (size_t l = 0; l < layers.size(); ++l) {
    const auto& y = layers[l];
    if (y.units % kTile != 0) return {};
    plan.product[l] = forward ? cut_forward(y) : cut_backward(y, device.blocks * (y.width * y.units) / values[l % 2]);
    deepest = std::max(deepest, plan.product[l].part_depth);
  }
  const auto weights = most_weights(plan);
  if (!weights) return {};
  plan.staged_stride = deepest + kPadding;
  for (const int64_t rows : {64, 32, 16}) {
    plan.rows = rows;
    plan.shared_bytes = static_cast<int64_t>(sizeof(ChipHeader)) + kValueBytes * (rows * plan.staged_stride + *weights);
    if (batch % rows == 0 && plan.shared_bytes <= device.shared_bytes) return plan;
  }
  return {};
}

}  // namespace hmrnn::cuda
