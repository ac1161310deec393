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

// Contestants that do the same work alternate in one process, so that other load on the machine affects them equally.

namespace bench {

constexpr int64_t kLayers = 3;

/// `units` units per layer, `batch` rows, `window` steps (1 when streaming).
struct Size {
  int64_t units;
  int64_t batch;
  int64_t window;
};

/// Firing rates of the first and of the second layer.
using Rates = std::array<double, 2>;

/// A workload to be timed.
struct Contestant {
  std::string name;  ///< kind/variant: "core/hm_lstm"
  Size size{};
  std::optional<Rates> rates;  ///< empty for an LSTM
  torch::ScalarType dtype = torch::kFloat32;
  std::optional<bool> layer_norm;  ///< empty for torch::nn's LSTM, which has none
  bool baseline = false;           ///< the ratios of a group are relative to its baseline
  double characters = 0;           ///< per run
  double flops = 0;                ///< per run: FLOPs of the necessary products (hmrnn/analysis/cost.h)
  std::function<void()> run;
  torch::Device device = torch::kCPU;
  std::string launch;                           ///< "launches", "graph", "persistent" (its graph); empty: no choice
  std::string backend;                          ///< implementation of torch::nn::LSTM on a GPU: "cuDNN" or "ATen"
  std::shared_ptr<hmrnn::WindowRunner> runner;  ///< for a graph; `run` uses it

  /// `run` launches its work at first, and replays it from a graph from the fifth time on.
  void use_graph();

  /// One line of text that identifies it; `--only` searches in it.
  std::string label() const;
};

/// Measurements of a contestant.
struct Row {
  Contestant contestant;
  int threads = 0;                   ///< CPU threads
  double characters_per_second = 0;  ///< in the median round
  double ratio_fp32 = 0;             ///< characters_per_second relative to the float32 baseline
  double ratio_same_dtype = 0;       ///< relative to the baseline of the same dtype
  double gflops = 0;                 ///< useful GFLOP/s
  double ceiling_share = 0;          ///< fraction of the GEMM ceiling of the dtype
  double scaling = 0;                ///< speed relative to the first number of threads; 0 in the rows of that number
  std::optional<int64_t> peak_bytes;
};

/// The time of a contestant's run by operator or kernel.
struct Profile {
  Contestant contestant;
  std::optional<std::vector<TimeOf>> times;  ///< see times_by_name
};

/// GFLOP/s of a large product by dtype; the best measurement.
using Ceiling = std::map<torch::ScalarType, double>;
/// The same by number of threads.
using Ceilings = std::map<int, Ceiling>;

/// Runs `rounds` rounds with each of the numbers of `threads`, after one that warms up and measures memory. Each round
/// runs every contestant once with each number (on a GPU for a fifth of a second, synchronised before and after), and
/// each row has the median. The ceiling is measured before and after. The contestants need a float32 baseline and one
/// for every other dtype among them. Returns the rows of the first number, then those of the next.
std::vector<Row> contest(const std::vector<Contestant>& contestants, int rounds, const std::vector<int>& threads,
                         Ceilings& ceilings);

/// Profiles the contestants one after the other with `threads` threads, each after a warm-up.
std::vector<Profile> profile(const std::vector<Contestant>& contestants, int threads);

}  // namespace bench
