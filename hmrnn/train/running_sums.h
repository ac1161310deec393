#pragma once

#include <torch/types.h>

#include <cstdint>
#include <string>
#include <vector>

#include "hmrnn/export.h"
#include "hmrnn/io/safetensors.h"
#include "hmrnn/train/optimizer.h"

namespace hmrnn {

/// What the windows since the last record add up to. Kept on the device, so that no step waits for the one before, and
/// in memory that stays where it is, so that adding can be part of a graph.
class HMRNN_API RunningSums {
 public:
  /// Means over the windows that counted; NaN where there were none.
  struct Means {
    double loss = 0;              ///< nats a target
    double gradient_norm = 0;     ///< before clipping
    std::vector<double> updates;  ///< per layer, 1 − its share of COPY
    double targets = 0;           ///< their number
    int64_t skipped = 0;          ///< windows that did not count
  };

  /// Of a model of so many layers (L of `updates`, 0: none are counted).
  RunningSums(int64_t layers, torch::Device device);

  /// Sets the number of targets and of positions of the window that comes next. Not part of a graph: a replay adds what
  /// is set here.
  void expect(int64_t targets, int64_t positions);
  /// Adds a window, of `loss` (0-d) and `updates` (float64 [L]). One that was skipped counts as that alone.
  void add(const torch::Tensor& loss, const torch::Tensor& updates, const ClippedAdam::Report& report);

  /// These wait for the device.
  Means means() const;
  /// Updates skipped so far.
  double skipped_total() const { return skipped_total_.item<double>(); }
  /// Updates skipped since the last that was not.
  double skipped_in_row() const { return skipped_in_row_.item<double>(); }

  /// Begins anew after a record.
  void clear() { sums_.zero_(); }

  /// As tensor `sums`, on the CPU.
  void save(SafeTensors& file) const;
  /// Throws hmrnn::Error naming `where` if it is missing or of another shape.
  void load(const SafeTensors& file, const std::string& where, double skipped_total, double skipped_in_row);

 private:
  int64_t layers_;
  int64_t targets_ = -1, positions_ = -1;  ///< that window_ holds
  torch::Tensor window_;                   ///< float64 [4]: targets, 1, positions, 0, of the window that comes next
  torch::Tensor sums_;  ///< float64: Σ loss·targets, Σ norm, Σ targets, windows, positions, skipped windows, updates
  torch::Tensor skipped_total_, skipped_in_row_;  ///< float64, 0-d
};

}  // namespace hmrnn
