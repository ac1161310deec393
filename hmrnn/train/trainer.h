#pragma once

#include <torch/types.h>

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "hmrnn/export.h"
#include "hmrnn/run/progress.h"
#include "hmrnn/run/run_folder.h"
#include "hmrnn/run/run_lock.h"
#include "hmrnn/train/optimizer.h"
#include "hmrnn/train/running_sums.h"
#include "hmrnn/train/schedule.h"
#include "hmrnn/train/training_task.h"
#include "hmrnn/train/window_runner.h"

namespace hmrnn {

class MetricsWriter;

/// Options of Trainer. A step is one window of all streams.
struct TrainerOptions {
  double learning_rate = 0.002;
  double clip = 1.0;      ///< greatest global gradient norm; 0: no clipping
  int64_t patience = 1;   ///< evaluations without improvement before the learning rate is divided by 50
  double slope_rate = 0;  ///< slope annealing, see annealed_slope
  double slope_max = 5;
  int64_t steps = 0;       ///< stop after so many steps; 0: no such limit. Without any limit training ends when
                           ///< validation stops improving once more after the learning rate's drop.
  int64_t epochs = 0;      ///< stop after so many epochs; 0: no such limit
  double minutes = 0;      ///< stop after so many minutes, resumes counted together; 0: no such limit
  int64_t eval_every = 0;  ///< steps between validations; 0: after each epoch
  int64_t checkpoint_every = 500;
  int64_t log_every = 10;    ///< steps between records
  int64_t max_skipped = 20;  ///< give up after so many skipped updates in a row
  bool cuda_graph = true;    ///< on CUDA: replay windows from a graph (WindowRunner); the same bits either way
};

/// Why Trainer::run returned.
enum class StopReason { Steps, Epochs, Minutes, Converged, Signal };

/// The training loop of every model: schedules, clipping, Adam, validation, checkpoints, metrics. Stopped after any
/// step and resumed it makes the same updates as if it had not been stopped.
///
/// `last/state.safetensors` holds parameters, moments, schedules, random generators and the task's carried state, all
/// that a resume needs, in one file: `last/model.safetensors` beside it, written after it, is for use, so a crash
/// between the two writes does no harm.
class HMRNN_API Trainer {
 public:
  /// `run_settings`: the text of a JSON object that is stored with the state and given back by read_run_settings, so
  /// that a program can rebuild the task before a resume. `stop`, asked after every step, ends the run as a signal
  /// does.
  Trainer(TrainingTask& task, const TrainerOptions& options, RunFolder folder, Progress& progress,
          const std::string& run_settings = "{}", std::function<bool()> stop = {});
  ~Trainer();

  /// Creates the folder and saves step 0. Throws hmrnn::Error if it holds a run already.
  void start();
  /// Takes the folder's last state up. Throws hmrnn::Error if there is none, it does not fit the task, or it holds
  /// values that are not finite.
  void resume();
  /// Trains until a limit of the options or `stop`. Throws hmrnn::Error after `max_skipped` skipped updates in a row.
  StopReason run();

  /// Asked before every step: true has the run saved at once, which then goes on. Before run().
  void set_save_request(std::function<bool()> requested) { save_requested_ = std::move(requested); }

  /// Replays windows from `graph` instead of the device's own kind of graph; before run(). For tests.
  void use_graph(std::unique_ptr<WindowGraph> graph) { runner_.set_graph(std::move(graph)); }
  const WindowRunner& runner() const { return runner_; }

  int64_t step() const { return step_; }
  std::optional<double> best_loss() const { return best_loss_; }
  int64_t best_step() const { return best_step_; }
  /// Updates skipped because of a loss or gradient that was not finite.
  int64_t skipped() const;

  /// What was given as `run_settings` to the run in `folder`. Throws hmrnn::Error naming the file.
  static std::string read_run_settings(const RunFolder& folder);

 private:
  using Clock = std::chrono::steady_clock;

  /// One window of training.
  void train_step();
  /// What of it is the same for every window of a layout, and may be replayed: it reads and writes tensors alone.
  void compute_window();
  /// Targets a second since the last record, of so many.
  double per_second(double targets) const;
  void record();
  /// False if it was interrupted.
  bool evaluate(bool scheduled);
  /// Throws hmrnn::Error, leaving last/ as it is, if the weights are not finite.
  void save();
  void require_finite_weights() const;
  void save_model(const std::filesystem::path& path, std::optional<double> validation_loss);
  bool evaluation_due() const;
  std::optional<StopReason> limit_reached() const;
  bool stopped() const { return stop_ && stop_(); }
  int64_t epoch() const { return step_ / task_.windows(); }
  double elapsed() const;
  double seconds_left() const;
  ProgressLine progress_line(const RunningSums::Means& means, double per_second) const;

  TrainingTask& task_;
  TrainerOptions options_;
  RunFolder folder_;
  Progress& progress_;
  std::string run_settings_;
  std::function<bool()> stop_, save_requested_;

  ClippedAdam optimizer_;
  PlateauSchedule schedule_;
  std::unique_ptr<RunLock> lock_;
  std::unique_ptr<MetricsWriter> metrics_;

  int64_t step_ = 0;
  int64_t evaluated_step_ = -1;       ///< step of the last evaluation
  bool evaluation_recorded_ = false;  ///< the evaluation due at this step is in the metrics already
  int64_t saved_step_ = -1;
  std::optional<double> best_loss_;
  int64_t best_step_ = 0;
  double slope_ = 1;
  double learning_rate_ = -1;  ///< that the optimizer has
  RunningSums sums_;           ///< since the last record
  WindowRunner runner_;
  double train_seconds_ = 0;   ///< since the last record, without evaluations and saving
  double elapsed_before_ = 0;  ///< seconds, earlier processes of this run
  int64_t steps_here_ = 0;     ///< in this process
  Clock::time_point step_start_;
  Clock::time_point start_;
};

}  // namespace hmrnn
