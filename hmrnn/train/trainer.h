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
struct TrainerState;

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
  double checkpoint_minutes = 0;   ///< and at the latest so many minutes after the last one; 0: no such limit
  int64_t keep = 0;                ///< of the states that were saved, the latest so many stay as RUN/kept/STEP
  int64_t log_every = 10;          ///< steps between records
  int64_t max_skipped = 20;        ///< give up after so many skipped updates in a row
  bool recover = false;            ///< but first, once, go back to a checkpoint at half the rate (see Trainer)
  bool cuda_graph = true;          ///< on CUDA: replay windows from a graph (WindowRunner); the same bits either way
};

/// Why Trainer::run returned.
enum class StopReason { Steps, Epochs, Minutes, Converged, Signal };

/// The training loop of every model: schedules, clipping, Adam, validation, checkpoints, metrics. Stopped after any
/// step and resumed it makes the same updates as if it had not been stopped. (The loop is in trainer.cpp, records and
/// progress in trainer_records.cpp, what is stored and read again in trainer_checkpoints.cpp, what follows on updates
/// that are not finite in trainer_recovery.cpp.)
///
/// With `ema` an evaluation scores the averaged weights as well, and `best_ema/` keeps the best of them; schedule and
/// `best/` look at the weights themselves.
///
/// `last/state.safetensors` holds parameters, moments, schedules, random generators and the task's carried state, all
/// that a resume needs, in one file: `last/model.safetensors` beside it, written after it, is for use, so a crash
/// between the two writes does no harm.
///
/// With `recover`, the first `max_skipped` skipped updates in a row do not end the run: it goes back to the last state
/// of a multiple of `checkpoint_every` steps from which an update was still made, and has half the learning rate from
/// there on. Steps alone say which state that is, so a run that was stopped meanwhile goes back to the same one;
/// `recover/state.safetensors` holds it. Records of the steps that were given up go; `best/` stays.
///
/// A file that cannot be written in the midst of a run (a full disk, a folder that has become read-only) is reported at
/// once and tried again at the next save; only where the end cannot be saved does run() throw.
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
  /// Takes the folder's last state up. Throws hmrnn::Error if there is none, it does not fit the task, or it holds
  /// values that are not finite.
  void resume();
  /// Trains until a limit of the options or `stop`. Throws hmrnn::Error after `max_skipped` skipped updates in a row
  /// (with `recover`: the second time).
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

  /// Asked before every step: true has the run saved at once, which then goes on. Before run().
  void set_save_request(std::function<bool()> requested) { save_requested_ = std::move(requested); }

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
  /// The run has gone back to a checkpoint, as `recover` asks for.
  bool recovered() const { return recovered_; }

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
  /// Says, once, that a gradient is very large, and whose it is. On the CPU: a GPU would have to be waited for.
  void watch_gradient();
  void record();
  /// False if it was interrupted.
  bool evaluate(bool scheduled);
  void record_evaluation(const Evaluation& result, const std::optional<Evaluation>& averaged);
  /// Says what an evaluation came to. Where `loss` is lower than `best`, it becomes that, the model is saved at `path`,
  /// and the answer is true; unless the file cannot be written, which is told.
  bool save_if_best(const std::filesystem::path& path, double loss, std::optional<double>& best,
                    const std::string& what);
  /// Every tensor that a resume needs; they may share the memory of those in use.
  SafeTensors pack_state() const;
  void unpack_state(const SafeTensors& file, const std::string& where, double skipped_total, double skipped_in_row);
  /// Throws hmrnn::Error, leaving last/ as it is, if the weights are not finite.
  void save();
  /// The same in the midst of a run: a disk that is full, or a folder that cannot be written, is told, and the run goes
  /// on with what was saved before.
  void save_or_tell();
  /// Writes a record, a line of MetricsWriter; one that cannot be written is told of, kept, and written later.
  void write_record(const std::string& record);
  void require_finite_weights() const;
  /// Writes last/, whatever the weights are.
  void store();
  /// `max_skipped` updates in a row were skipped: goes back to a checkpoint, or saves and throws hmrnn::Error
  /// (trainer_recovery.cpp, as the next two).
  void recover_or_give_up();
  /// Keeps the state of the last step as the one to go back to.
  void keep_for_recovery();
  /// False if there is none to go back to.
  bool return_to_checkpoint();
  /// What a resume and a return to a checkpoint take over alike.
  void go_on_from(const TrainerState& state);
  void save_model(const std::filesystem::path& path, std::optional<double> validation_loss);
  bool evaluation_due() const;
  std::optional<StopReason> limit_reached() const;
  bool stopped() const { return stop_ && stop_(); }
  int64_t epoch() const { return step_ / task_.windows(); }
  double elapsed() const;
  double seconds_left() const;
  /// Of the update that was made last (before the first one: that of the first).
  double last_learning_rate() const { return learning_rate(std::max<int64_t>(step_ - 1, 0)); }
  /// Of the update after so many steps.
  double learning_rate(int64_t step) const { return recovered_ ? schedule_.rate(step) / 2 : schedule_.rate(step); }
  ProgressLine progress_line(const RunningSums::Means& means, double per_second) const;

  TrainingTask& task_;
  TrainerOptions options_;
  RunFolder folder_;
  Progress& progress_;
  std::string run_settings_;
  std::function<bool()> stop_, save_requested_;

  ClippedAdam optimizer_;
  std::optional<AveragedWeights> averaged_;
  LearningRateSchedule schedule_;
  std::unique_ptr<RunLock> lock_;
  std::unique_ptr<MetricsWriter> metrics_;

  int64_t step_ = 0;
  int64_t evaluated_step_ = -1;       ///< step of the last evaluation
  bool evaluation_recorded_ = false;  ///< the evaluation due at this step is in the metrics already
  int64_t saved_step_ = -1;
  Clock::time_point saved_at_;        ///< or last tried
  bool records_are_held_up_ = false;  ///< and that was said
  ClippedAdam::Report last_update_;   ///< of the last window, while watch_gradients_
  bool watch_gradients_ = false;      ///< on the CPU, until a large one was said
  std::optional<double> best_loss_, best_ema_loss_;
  int64_t best_step_ = 0;
  bool recovered_ = false;
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
