#pragma once

#include <torch/nn/module.h>
#include <torch/types.h>

#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "hmrnn/export.h"
#include "hmrnn/io/safetensors.h"

namespace hmrnn {

/// A window that is ready for the forward pass.
struct LoadedWindow {
  int64_t count = 0;            ///< number of targets
  int64_t positions = 0;        ///< number of time steps of all sequences; WindowLoss::updates are at most this
  std::vector<int64_t> layout;  ///< equal layouts: tensors of the same sizes at the same addresses; empty: unique
};

/// Result of one training window.
struct WindowLoss {
  /// 0-d, differentiable: mean over the window's targets (negative log-likelihood in nats); undefined: this process has
  /// no share of the window.
  torch::Tensor loss = {};
  torch::Tensor updates = {};  ///< float64 [L]: steps at which each layer did not COPY; undefined if layers() is 0
  torch::Tensor penalty = {};  ///< 0-d, differentiable: added to the loss for the gradient; undefined: nothing
};

/// Result of a validation.
struct Evaluation {
  double loss = 0;              ///< mean over the targets (negative log-likelihood in nats)
  int64_t count = 0;            ///< number of targets
  std::vector<double> updates;  ///< per layer, 1 − fraction of COPY
  double seconds = 0;           ///< duration
};

/// What the Trainer trains: a model, its data, and the state carried between windows. The Trainer accesses them only
/// through this interface. Every task implements the pure virtual functions; the defaults of the others suit models
/// without a slope and windows that carry no state (examples/embed/own_task.cpp).
class HMRNN_API TrainingTask {
 public:
  virtual ~TrainingTask();

  /// The model; its parameters (float32) are trained.
  virtual torch::nn::Module& module() = 0;
  /// Device of the model. Default: the CPU.
  virtual torch::Device device() const;
  /// Number of recurrent layers in WindowLoss::updates. Default: 0.
  virtual int64_t layers() const;
  /// Windows per epoch, the same in every epoch; the Trainer takes them in order, 0, 1, …
  virtual int64_t windows() const = 0;

  /// Loads a window of an epoch (both counted from 0): its data, and zeros as the carried state where its sequences
  /// start. Must always load the same window for the same numbers, and must not wait for the device.
  virtual LoadedWindow load(int64_t epoch, int64_t window) = 0;
  /// Announces the window that will be loaded next, so that its data can be copied while the current one is computed.
  virtual void prefetch(int64_t epoch, int64_t window);
  /// Means over the window's positions that `forward` computed and `settle` will use (a firing rate), float32 and of
  /// the same sizes in every window. If several processes share the window, the Trainer overwrites them with the means
  /// of the whole window. Default: none.
  virtual std::vector<torch::Tensor> window_means();
  /// Forward pass of the loaded window from the carried state, in training mode. This function and `settle` may be
  /// captured in a graph and replayed for every window of the same layout (WindowGraph): whatever changes from window
  /// to window must be read from, and written to, tensors at fixed addresses.
  virtual WindowLoss forward() = 0;
  /// Ends a window: carries its final state to the next one, or zeros if `not_finite` (0-d float) is 1, because the
  /// loss or its gradient was not. Must not wait for the device. Default: carries nothing.
  virtual void settle(const torch::Tensor& not_finite);
  /// Called after every update of the parameters, to enforce bounds on them. May be captured in a graph, like
  /// `forward`. Default: nothing.
  virtual void constrain();

  /// Validates without changing the training state or the default generators. Empty if `stop` returned true meanwhile.
  virtual std::optional<Evaluation> evaluate(const std::function<bool()>& stop) = 0;

  /// Sets the slope of the next windows, including those replayed from a graph. Default: no effect.
  virtual void set_slope(double slope);
  /// The current slope. Default: 1.
  virtual double slope() const;

  /// Stores the carried state, on the CPU. Tensors named "state.…" have the sequences as their first dimension; if
  /// several processes train, each has its own rows of them (rows_of_rank). Default: none.
  virtual void save_state(SafeTensors& file) const;
  /// Restores it. Throws hmrnn::Error naming `where` and what does not fit. Default: none.
  virtual void load_state(const SafeTensors& file, const std::string& where);

  /// A JSON object as text for `__metadata__.hmrnn`: all that is needed to use the model from its checkpoint alone.
  /// Default: "{}".
  virtual std::string describe() const;

  /// The unit of `count`: "characters", "points".
  virtual std::string unit() const = 0;
  /// The task's own measures of a mean loss, of training or of `validation`, as names and values for metrics.jsonl
  /// (text: `bpc`). Default: none.
  virtual std::vector<std::pair<std::string, double>> measures(double loss, bool validation) const;
  /// A mean loss for display: "1.782 bpc". Default: the number.
  virtual std::string loss_text(double loss) const;
};

}  // namespace hmrnn
