// The series of the example, and its picture in text. Nothing here is about hmrnn.
#pragma once

#include <torch/types.h>

#include <cmath>
#include <cstdio>
#include <random>
#include <string>
#include <utility>

/// series [steps, batch, 1]: a hum at one of three pitches, each kept for 8 to 20 steps, with a little noise;
/// changes [steps, batch]: 1 where another pitch begins.
inline std::pair<torch::Tensor, torch::Tensor> readings(int64_t steps, int64_t batch) {
  static std::mt19937 generator(1);
  const double pitches[] = {0.25, 0.8, 2.2};  // radians a step
  auto series = torch::empty({steps, batch, 1});
  auto changes = torch::zeros({steps, batch});
  auto values = series.accessor<float, 3>();
  auto marks = changes.accessor<float, 2>();
  std::normal_distribution<float> noise(0.0F, 0.03F);
  for (int64_t b = 0; b < batch; ++b) {
    int pitch = 0;
    int64_t left = 0;
    double phase = 0;
    for (int64_t t = 0; t < steps; ++t, --left) {
      if (left == 0) {
        pitch = (pitch + std::uniform_int_distribution<int>(1, 2)(generator)) % 3;
        left = std::uniform_int_distribution<int>(8, 20)(generator);
        marks[t][b] = 1;
      }
      phase += pitches[pitch];
      values[t][b][0] = static_cast<float>(std::sin(phase)) + noise(generator);
    }
  }
  return {series, changes};
}

/// Prints the first sequence of the batch, where the pitch changed and where layer 1 put boundaries.
inline void show(const torch::Tensor& series, const torch::Tensor& changes, const torch::Tensor& boundaries) {
  const char* bars[] = {"▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"};
  std::string lines[3] = {"readings ", "changes  ", "layer 1  "};
  for (int64_t t = 0; t < series.size(0); ++t) {
    const auto height = std::lround((series[t][0][0].item<double>() + 1.1) / 2.2 * 7);
    lines[0] += bars[std::min(7L, std::max(0L, height))];
    lines[1] += changes[t][0].item<double>() > 0 ? '|' : '.';
    lines[2] += boundaries[t][0][0].item<double>() > 0 ? '|' : '.';
  }
  for (const auto& line : lines) std::puts(line.c_str());
}
