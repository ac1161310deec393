#pragma once

#include <torch/types.h>

#include <array>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "bench/kernel_times.h"
#include "hmrnn/train/window_runner.h"

// Contestants that do the same work take turns in one process, so that whatever else the machine does hits them alike.

namespace bench {

constexpr int64_t kLayers = 3;

/// Layers of `units` units, `batch` rows, `window` steps (1 when streaming).
struct Size {
  int64_t units;
  int64_t batch;
  int64_t window;
};

/// How often z of the first and of the second layer fires.
using Rates = std::array<double, 2>;

/// Something to be timed.
struct Contestant {
  std::string name;  ///< kind/what: "core/hm_lstm"
  Size size{};
  std::optional<Rates> rates;  ///< none for an LSTM
  torch::ScalarType dtype = torch::kFloat32;
  std::optional<bool> layer_norm;  ///< none for torch::nn's LSTM, which has none
  bool baseline = false;           ///< the ratios of a group are to its baseline
  double characters = 0;           ///< of one run
  double flops = 0;                ///< of one run: of the products that are needed (hmrnn/analysis/cost.h)
  std::function<void()> run;
  torch::Device device = torch::kCPU;
  std::string launch;                           ///< "launches", "graph", or "persistent" (a graph of the
                                                ///< kernel of whole windows); empty where there is no choice
  std::string backend;                          ///< what computes a GPU's torch::nn::LSTM: "cuDNN" or "ATen"
  std::shared_ptr<hmrnn::WindowRunner> runner;  ///< of a graph; `run` uses it

  /// `run` becomes a graph's replay from its fifth time on.
  void use_graph();

  /// One line that names it; `--only` looks into it.
  std::string label() const;
};

/// What was measured of a contestant.
struct Row {
  Contestant contestant;
  int threads = 0;                   ///< of the CPU
  double characters_per_second = 0;  ///< of the median round
  double ratio_fp32 = 0;             ///< characters_per_second over that of the float32 baseline
  double ratio_same_dtype = 0;       ///< over that of the baseline of the same dtype
  double gflops = 0;                 ///< useful GFLOP/s
  double ceiling_share = 0;          ///< of the GEMM ceiling of the dtype
  std::optional<int64_t> peak_bytes;
};

/// What a contestant's run spends its time on.
struct Profile {
  Contestant contestant;
  std::optional<std::vector<TimeOf>> times;  ///< see times_by_name
};

/// GFLOP/s of a large product, by dtype; the best seen.
using Ceiling = std::map<torch::ScalarType, double>;

/// `rounds` rounds with `threads` threads, each contestant once a round (on a GPU: for a fifth of a second a round, the
/// device being waited for at its ends), after a first one that warms up and measures memory. The ceiling is measured
/// before and after. There is a float32 baseline and one of every dtype that occurs.
std::vector<Row> contest(const std::vector<Contestant>& contestants, int rounds, int threads, Ceiling& ceiling);

/// The contestants one after the other with `threads` threads, each warmed up and then profiled.
std::vector<Profile> profile(const std::vector<Contestant>& contestants, int threads);

}  // namespace bench
