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

/// A window that was made ready.
struct LoadedWindow {
  int64_t count = 0;            ///< targets
  int64_t positions = 0;        ///< steps that WindowLoss::updates counts among (all sequences together)
  std::vector<int64_t> layout;  ///< windows of equal layout have tensors of the same sizes in the same memory; empty:
                                ///< no other window has them
};

/// What one window of training gave.
struct WindowLoss {
  torch::Tensor loss;     ///< 0-d, differentiable: mean over the window's targets (negative log-likelihood in nats);
                          ///< undefined: this process has no share of the window
  torch::Tensor updates;  ///< float64 [L]: steps at which each layer did not COPY; undefined where L = layers() = 0
  torch::Tensor penalty;  ///< 0-d, differentiable: what is minimised beside the loss; undefined: nothing
};

/// What a validation gave.
struct Evaluation {
  double loss = 0;              ///< mean over the targets (negative log-likelihood in nats)
  int64_t count = 0;            ///< targets scored
  std::vector<double> updates;  ///< per layer, 1 − its share of COPY
  double seconds = 0;           ///< that it took
};

/// What the Trainer trains: a model, its data, and the state carried between windows. The Trainer knows nothing of
/// either but this. Pure virtual is what every task has to say; the rest has defaults for models without a slope and
/// for windows that carry no state (examples/embed/own_task.cpp).
class HMRNN_API TrainingTask {
 public:
  virtual ~TrainingTask();

  /// The model; its parameters (float32) are what is trained.
  virtual torch::nn::Module& module() = 0;
  /// Where the model is. Default: the CPU.
  virtual torch::Device device() const;
  /// Recurrent layers whose updates are counted (WindowLoss::updates). Default: 0.
  virtual int64_t layers() const;
  /// Windows in an epoch, of every epoch; the Trainer takes them in order, 0, 1, …
  virtual int64_t windows() const = 0;

  /// Makes a window of an epoch (both counted from 0) ready: its data, and zeros as the carried state where its
  /// sequences start. Must give the same window whenever it is called with the same numbers, and not wait for the
  /// device.
  virtual LoadedWindow load(int64_t epoch, int64_t window) = 0;
  /// Says which window will be loaded next, so that its data can be on the way while the present one is computed.
  virtual void prefetch(int64_t epoch, int64_t window);
  /// Means over the window's positions that `forward` took and `settle` will use (a firing rate): where several
  /// processes share a window the Trainer replaces them in place by those of the whole window. float32, of one size
  /// from window to window. Default: none.
  virtual std::vector<torch::Tensor> window_means();
  /// Forward pass of the window that was loaded, in training mode, from the carried state. This and `settle` may be
  /// recorded in a graph and replayed for every window of the same layout (WindowGraph): all that changes from window
  /// to window they have to read from tensors that stay where they are, and to write there.
  virtual WindowLoss forward() = 0;
  /// Ends a window: the state it left is carried on, or, where `skipped` (0-d float, 1) says that its update was not
  /// finite, replaced by zeros. Must not wait for the device. Default: nothing is carried.
  virtual void settle(const torch::Tensor& skipped);
  /// Comes after every update of the parameters, to put back what has to stay within bounds. May be recorded in a
  /// graph, as `forward`. Default: nothing.
  virtual void constrain();

  /// Validation, leaving training state and default random generators alone. Empty if `stop` returned true on the way.
  virtual std::optional<Evaluation> evaluate(const std::function<bool()>& stop) = 0;

  /// In force for the windows to come, those replayed from a graph among them. Default: no effect.
  virtual void set_slope(double slope);
  /// The slope in force. Default: 1.
  virtual double slope() const;

  /// The carried state, on the CPU; tensors whose names begin with "state." have the sequences as their first
  /// dimension, and where several processes train each has its rows (rows_of_rank). Default: none.
  virtual void save_state(SafeTensors& file) const;
  /// Throws hmrnn::Error naming `where` and what does not fit. Default: none.
  virtual void load_state(const SafeTensors& file, const std::string& where);

  /// All that is needed to use the model from its checkpoint alone: the text of a JSON object, for
  /// `__metadata__.hmrnn`. Default: "{}".
  virtual std::string describe() const;

  /// "characters", "points": what `count` counts.
  virtual std::string unit() const = 0;
  /// The task's own measures of a mean loss, of training or of `validation`, for metrics.jsonl: names and values (text:
  /// `bpc`). Default: none.
  virtual std::vector<std::pair<std::string, double>> measures(double loss, bool validation) const;
  /// A mean loss for people: "1.782 bpc". Default: the number.
  virtual std::string loss_text(double loss) const;
};

}  // namespace hmrnn
