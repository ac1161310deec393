// The example's data, and its plot as text. Nothing here depends on hmrnn.
#pragma once

#include <torch/types.h>

#include <cmath>
#include <cstdio>
#include <random>
#include <string>
#include <utility>

/// series [steps, batch, 1]: bursts, each a jump to a random height that decays at a random rate for 6 to 14 steps,
/// with a little noise; starts [steps, batch]: 1 where a burst begins.
inline std::pair<torch::Tensor, torch::Tensor> readings(int64_t steps, int64_t batch, std::mt19937& generator) {
  auto series = torch::empty({steps, batch, 1});
  auto starts = torch::zeros({steps, batch});
  auto values = series.accessor<float, 3>();
  auto marks = starts.accessor<float, 2>();
  std::normal_distribution<float> noise(0.0F, 0.02F);
  std::uniform_real_distribution<float> height(0.6F, 1.0F), rate(0.6F, 0.95F);
  for (int64_t b = 0; b < batch; ++b) {
    int64_t left = 0;
    float level = 0, fade = 0;
    for (int64_t t = 0; t < steps; ++t, --left) {
      level *= fade;
      if (left == 0) {
        left = std::uniform_int_distribution<int>(6, 14)(generator);
        level = height(generator);
        fade = rate(generator);
        marks[t][b] = 1;
      }
      values[t][b][0] = level + noise(generator);
    }
  }
  return {series, starts};
}

/// Prints the first sequence of the batch, the starts of its bursts, and the boundaries of layer 1.
inline void show(const torch::Tensor& series, const torch::Tensor& starts, const torch::Tensor& boundaries) {
  const char* bars[] = {"▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"};
  std::string lines[3] = {"readings ", "bursts   ", "layer 1  "};
  for (int64_t t = 0; t < series.size(0); ++t) {
    const auto height = std::lround(series[t][0][0].item<double>() * 7);
    lines[0] += bars[std::min(7L, std::max(0L, height))];
    lines[1] += starts[t][0].item<double>() > 0 ? '|' : '.';
    lines[2] += boundaries[t][0][0].item<double>() > 0 ? '|' : '.';
  }
  for (const auto& line : lines) std::puts(line.c_str());
}
