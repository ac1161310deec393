#pragma once

#include <torch/types.h>

#include <cstdint>
#include <string>
#include <vector>

#include "hmrnn/export.h"
#include "hmrnn/io/safetensors.h"
#include "hmrnn/train/optimizer.h"

namespace hmrnn {

/// Sums over the windows since the last record. They stay on the device, so that no step waits for the previous one,
/// and at fixed addresses, so that adding can be part of a graph.
class HMRNN_API RunningSums {
 public:
  /// Means over the windows whose loss and gradient were finite; NaN if there are none.
  struct Means {
    double loss = 0;              ///< nats per target
    double gradient_norm = 0;     ///< before clipping
    std::vector<double> updates;  ///< per layer, 1 − fraction of COPY
    double targets = 0;           ///< number of targets
    int64_t skipped = 0;          ///< number of skipped windows
  };

  /// `layers`: L of `updates`; 0: updates are not counted.
  RunningSums(int64_t layers, torch::Device device);

  /// Sets the number of targets and of positions of the next window. Not part of a graph: a replay adds the numbers set
  /// here.
  void expect(int64_t targets, int64_t positions);
  /// Adds a window with its `loss` (0-d) and `updates` (float64 [L]). A window whose loss or gradient is not finite
  /// only increments the number of skipped windows.
  void add(const torch::Tensor& loss, const torch::Tensor& updates, const ClippedAdam::Report& report);

  /// Waits for the device, as the next two functions do.
  Means means() const;
  /// Number of updates skipped in the run.
  double skipped_total() const { return skipped_total_.item<double>(); }
  /// Number of updates skipped since the last one that was not.
  double skipped_in_row() const { return skipped_in_row_.item<double>(); }

  /// Resets the sums after a record.
  void clear() { sums_.zero_(); }

  /// Stores the sums as tensor `sums`, on the CPU.
  void save(SafeTensors& file) const;
  /// Throws hmrnn::Error naming `where` if the tensor is missing or has another shape.
  void load(const SafeTensors& file, const std::string& where, double skipped_total, double skipped_in_row);

 private:
  int64_t layers_;
  int64_t targets_ = -1, positions_ = -1;  ///< the values that window_ holds
  torch::Tensor window_;                   ///< float64 [4]: targets, 1, positions, 0 of the next window
  torch::Tensor sums_;  ///< float64: Σ loss·targets, Σ norm, Σ targets, windows, positions, skipped windows, updates
  torch::Tensor skipped_total_, skipped_in_row_;  ///< float64, 0-d
};

}  // namespace hmrnn
