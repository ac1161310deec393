#pragma once

#include <torch/types.h>

#include <algorithm>
#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "hmrnn/export.h"
#include "hmrnn/run/process_group.h"
#include "hmrnn/run/progress.h"
#include "hmrnn/run/run_folder.h"
#include "hmrnn/run/run_lock.h"
#include "hmrnn/train/averaged_weights.h"
#include "hmrnn/train/optimizer.h"
#include "hmrnn/train/running_sums.h"
#include "hmrnn/train/schedule.h"
#include "hmrnn/train/training_task.h"
#include "hmrnn/train/window_runner.h"

namespace hmrnn {

class MetricsWriter;

/// Options of Trainer. A step is one window of all streams.
struct TrainerOptions {
  double learning_rate = 0.002;  ///< of Adam, the highest
  /// How it goes on; its `rate` is `learning_rate`. The length of a cosine is that of `steps` or `epochs`, whichever
  /// ends first, if it is left 0.
  LearningRateOptions schedule = {};
  ClippedAdam::Options optimizer = {};  ///< of Adam
  double ema = 0;          ///< decay of averaged weights (AveragedWeights), validated beside the others; 0: none
  double slope_rate = 0;   ///< slope annealing, see annealed_slope
  double slope_max = 5;    ///< of the annealing
  int64_t steps = 0;       ///< stop after so many steps; 0: no such limit. Without any limit training ends when
                           ///< validation stops improving once more after the learning rate's drop.
  int64_t epochs = 0;      ///< stop after so many epochs; 0: no such limit
  double minutes = 0;      ///< stop after so many minutes, resumes counted together; 0: no such limit
  int64_t eval_every = 0;  ///< steps between validations; 0: after each epoch
  int64_t checkpoint_every = 500;  ///< steps between saves
  int64_t log_every = 10;          ///< steps between records
  int64_t max_skipped = 20;        ///< give up after so many skipped updates in a row
  bool cuda_graph = true;          ///< on CUDA: replay windows from a graph (WindowRunner); the same bits either way
  /// The processes that train the model together, each on its rows of every window; null: this one alone. On CUDA they
  /// launch windows without a graph.
  const ProcessGroup* group = nullptr;
};

/// Why Trainer::run returned.
enum class StopReason { Steps, Epochs, Minutes, Converged, Signal };

/// The training loop of every model: schedules, clipping, Adam, validation, checkpoints, metrics. Stopped after any
/// step and resumed it makes the same updates as if it had not been stopped. (The loop is in trainer.cpp, records and
/// progress in trainer_records.cpp, what is stored and read again in trainer_checkpoints.cpp.)
///
/// With a process group every process makes the same updates: gradients, losses and evaluations are those of all rows
/// together, and so is the decision to stop. The first process writes the folder and talks; the others have no part in
/// either. A resume may have another number of processes.
///
/// With `ema` an evaluation scores the averaged weights as well, and `best_ema/` keeps the best of them; schedule and
/// `best/` look at the weights themselves.
///
/// `last/state.safetensors` holds parameters, moments, schedules, random generators and the task's carried state, all
/// that a resume needs, in one file: `last/model.safetensors` beside it is for use, so a crash between the two writes
/// does no harm.
class HMRNN_API Trainer {
 public:
  /// `run_settings`: the text of a JSON object that is stored with the state and given back by read_run_settings, so
  /// that a program can rebuild the task before a resume. `stop`, asked after every step, ends the run as a signal
  /// does. Throws hmrnn::Error for a cosine schedule without a length.
  Trainer(TrainingTask& task, const TrainerOptions& options, RunFolder folder, Progress& progress,
          const std::string& run_settings = "{}", std::function<bool()> stop = {});
  ~Trainer();

  /// Creates the folder and saves step 0. Throws hmrnn::Error if it holds a run already.
  void start();
  /// Takes the folder's last state up. Throws hmrnn::Error if there is none or it does not fit the task.
  void resume();
  /// Trains until a limit of the options or `stop`. Throws hmrnn::Error after `max_skipped` skipped updates in a row.
  StopReason run();

  /// What windows cost, and what they come to, the way things are set now.
  struct WindowTimes {
    double seconds;  ///< a window; the device was waited for at both ends
    double loss;     ///< mean of the untimed windows in nats; NaN where there were none
  };
  /// Runs `untimed` windows, then up to `timed` ones, fewer once they have taken `budget` seconds. Between start() or
  /// resume() and run(). The run stays where it was, bit for bit.
  WindowTimes time_windows(int64_t untimed, int64_t timed, double budget);
  /// What is stored as `run_settings` from now on.
  void set_run_settings(const std::string& run_settings);

  /// Replays windows from `graph` instead of the device's own kind of graph; before run(). For tests.
  void use_graph(std::unique_ptr<WindowGraph> graph) { runner_.set_graph(std::move(graph)); }
  /// How windows are launched.
  const WindowRunner& runner() const { return runner_; }

  /// Steps made, resumes counted together.
  int64_t step() const { return step_; }
  /// Lowest validation loss so far; empty before the first validation.
  std::optional<double> best_loss() const { return best_loss_; }
  /// Of the averaged weights; none without `ema`.
  std::optional<double> best_ema_loss() const { return best_ema_loss_; }
  /// The step that had best_loss.
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
  /// This process writes files.
  bool leads() const { return !options_.group || options_.group->leads(); }
  /// What the processes do together (trainer_processes.cpp): the same start, the window's gradients and numbers, an
  /// evaluation's, the carried state and generators of all, and the rows of this process of what was stored.
  void agree_on_start();
  void share_window(WindowLoss& window);
  std::optional<Evaluation> share_evaluation(const std::optional<Evaluation>& own) const;
  void gather_state(SafeTensors& state) const;
  SafeTensors own_rows(const SafeTensors& file) const;
  void load_generators(const SafeTensors& file, const std::string& where) const;
  /// Empty if it was interrupted.
  std::optional<Evaluation> evaluate_task();
  /// False if it was interrupted.
  bool evaluate(bool scheduled);
  void record_evaluation(const Evaluation& result, const std::optional<Evaluation>& averaged);
  /// Whether `loss` is the best so far, which it then is; says so.
  bool improves(double loss, std::optional<double>& best, const std::string& what);
  void save();
  /// Every tensor that a resume needs; they may share the memory of those in use.
  SafeTensors pack_state() const;
  void unpack_state(const SafeTensors& file, const std::string& where, double skipped_total, double skipped_in_row);
  void save_model(const std::filesystem::path& path, std::optional<double> validation_loss);
  bool evaluation_due() const;
  std::optional<StopReason> limit_reached() const;
  bool asked_to_stop() const { return stop_ && stop_(); }
  bool stopped() const { return options_.group ? agreed_stop_ : asked_to_stop(); }
  bool out_of_time() const { return options_.minutes > 0 && elapsed() >= options_.minutes * 60; }
  int64_t epoch() const { return step_ / task_.windows(); }
  double elapsed() const;
  double seconds_left() const;
  /// Of the update that was made last (before the first one: that of the first).
  double last_learning_rate() const { return schedule_.rate(std::max<int64_t>(step_ - 1, 0)); }
  ProgressLine progress_line(const RunningSums::Means& means, double per_second) const;

  TrainingTask& task_;
  TrainerOptions options_;
  RunFolder folder_;
  Progress& progress_;
  std::string run_settings_;
  std::function<bool()> stop_;

  ClippedAdam optimizer_;
  std::optional<AveragedWeights> averaged_;
  LearningRateSchedule schedule_;
  std::unique_ptr<RunLock> lock_;
  std::unique_ptr<MetricsWriter> metrics_;

  LoadedWindow window_;                            ///< at hand
  bool agreed_stop_ = false, agreed_end_ = false;  ///< what all processes know by now: a signal, the end of the time

  int64_t step_ = 0;
  int64_t evaluated_step_ = -1;       ///< step of the last evaluation
  bool evaluation_recorded_ = false;  ///< the evaluation due at this step is in the metrics already
  int64_t saved_step_ = -1;
  std::optional<double> best_loss_, best_ema_loss_;
  int64_t best_step_ = 0;
  double slope_ = 1;
  double learning_rate_ = -1;  ///< that the optimizer has; -1: none yet
  RunningSums sums_;           ///< since the last record
  WindowRunner runner_;
  double train_seconds_ = 0;   ///< since the last record, without evaluations and saving
  double elapsed_before_ = 0;  ///< seconds, earlier processes of this run
  int64_t steps_here_ = 0;     ///< in this process
  Clock::time_point step_start_;
  Clock::time_point start_;
};

}  // namespace hmrnn
