#pragma once

#include <torch/types.h>

#include <algorithm>
#include <chrono>
#include <functional>
#include <map>
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
struct TrainerState;

/// Options of Trainer. A step is one window of all streams.
struct TrainerOptions {
  double learning_rate = 0.002;  ///< highest learning rate of Adam
  /// Schedule of the learning rate; its `rate` is replaced by `learning_rate`. If the length of a cosine is 0, it is
  /// derived from `steps` or `epochs`, whichever ends first.
  LearningRateOptions schedule = {};
  ClippedAdam::Options optimizer = {};  ///< of Adam
  double ema = 0;          ///< decay of averaged weights (AveragedWeights), which are validated too; 0: none
  double slope_rate = 0;   ///< slope annealing, see annealed_slope
  double slope_max = 5;    ///< of the annealing
  int64_t steps = 0;       ///< stop after this many steps; 0: no such limit. Without any limit, training ends when
                           ///< validation stops improving after the last drop of the learning rate.
  int64_t epochs = 0;      ///< stop after this many epochs; 0: no such limit
  double minutes = 0;      ///< stop after this many minutes, resumes included; 0: no such limit
  int64_t eval_every = 0;  ///< steps between validations; 0: after each epoch
  int64_t checkpoint_every = 500;  ///< steps between saves
  double checkpoint_minutes = 0;   ///< maximum of minutes between saves; 0: no such limit
  int64_t keep = 0;                ///< keep this many of the latest saves as RUN/kept/STEP
  int64_t log_every = 10;          ///< steps between records
  int64_t max_skipped = 20;        ///< limit of consecutive skipped updates; run() then throws
  bool recover = false;            ///< the first time, return to a checkpoint with half the rate (see Trainer)
  bool cuda_graph = true;          ///< on CUDA: replay windows from a graph (WindowRunner); the same bits either way
  /// The processes that train the model together, each on its rows of every window; null: this one alone. On CUDA a
  /// window is two graphs then, with the sum over the processes in between. The task was made for this process's rows
  /// (TextTaskOptions::rank).
  const ProcessGroup* group = nullptr;
};

/// Why Trainer::run returned.
enum class StopReason { Steps, Epochs, Minutes, Converged, Signal };

/// The training loop of every model: schedules, clipping, Adam, validation, checkpoints, metrics. A run that is stopped
/// after any step and resumed makes the same updates as one that is not stopped. (The loop is in trainer.cpp, records
/// and progress in trainer_records.cpp, saving and loading in trainer_checkpoints.cpp, the reaction to skipped updates
/// in trainer_recovery.cpp.)
///
/// With a process group every process makes the same updates: gradients, losses and evaluations are those of all rows
/// together (trainer_processes.cpp), and a request to one process (stop, save) is followed by all after the same step.
/// Only the first process writes the folder; at a resume all read it. A resumed run may have another number of
/// processes. Without dropout and Bernoulli boundaries, the number of processes changes only rounding.
///
/// With `ema` the averaged weights are evaluated as well, and `best_ema/` keeps the best of them; the schedule and
/// `best/` use the loss of the weights themselves.
///
/// `last/state.safetensors` contains all that a resume needs: parameters, moments, schedules, random generators and the
/// task's carried state. `last/model.safetensors` is only for other uses and is written after it; if the process
/// dies in between, a resume writes it.
///
/// With `recover`, the first `max_skipped` consecutive skipped updates do not end the run: it returns to the last state
/// at a multiple of `checkpoint_every` steps after which an update was made, and continues with half the learning rate.
/// That state depends only on steps, so a run that was stopped meanwhile returns to the same one; it is stored in
/// `recover/state.safetensors`. Records of later steps are removed; `best/` stays.
///
/// A file that cannot be written during a run (disk full, folder read-only) is reported immediately, and the next save
/// tries again; run() only throws if the last save fails, or if the best model could not be written.
class HMRNN_API Trainer {
 public:
  /// `run_settings`: a JSON object as text that is stored with the state and returned by read_run_settings, so that a
  /// program can rebuild the task before a resume. `stop`, called after every step, ends the run like a signal. Throws
  /// hmrnn::Error for a cosine schedule without a length.
  Trainer(TrainingTask& task, const TrainerOptions& options, RunFolder folder, Progress& progress,
          const std::string& run_settings = "{}", std::function<bool()> stop = {});
  ~Trainer();

  /// Creates the folder and saves step 0; calls `claimed` as soon as the folder is this run's, before it has a state.
  /// Throws hmrnn::Error if the folder holds a run.
  void start(const std::function<void()>& claimed = {});
  /// Restores the folder's last state. Throws hmrnn::Error if there is none, if it does not fit the task, or if it has
  /// values that are not finite.
  void resume();
  /// Trains until a limit of the options or `stop`. Throws hmrnn::Error after `max_skipped` consecutive skipped updates
  /// (with `recover`: the second time).
  StopReason run();

  /// Time and loss of windows with the current settings.
  struct WindowTimes {
    double seconds;  ///< per window, including the wait for the device
    double loss;     ///< mean over the untimed windows, nats; NaN if there are none
  };
  /// Runs `untimed` windows, then up to `timed` ones, fewer if they take `budget` seconds. Call it between start() or
  /// resume() and run(), or from the function of set_after_step(). The state of the run is not changed.
  WindowTimes time_windows(int64_t untimed, int64_t timed, double budget);
  /// Replaces `run_settings` for later saves.
  void set_run_settings(const std::string& run_settings);

  /// `requested` is called before every step; true makes the run save and continue. Call this before run().
  void set_save_request(std::function<bool()> requested) { save_requested_ = std::move(requested); }

  /// `after` is called after every step with its time, evaluations and saves not included, and its number of targets.
  /// It may change the number of LibTorch's threads. Call this before run().
  void set_after_step(std::function<void(double seconds, double targets)> after) { after_step_ = std::move(after); }

  /// What the constructor's `stop` says now.
  bool asked_to_stop() const { return stop_ && stop_(); }

  /// Replays windows from `graph` instead of the device's own kind of graph, and with a process group their updates
  /// from `update`, which must use the same stream. Call this before run(). For tests.
  /// Throws c10::Error if `update` is missing or superfluous.
  void use_graphs(std::unique_ptr<WindowGraph> graph, std::unique_ptr<WindowGraph> update = nullptr) {
    TORCH_CHECK(!update == !(graph && options_.group), "Trainer: a process group needs two graphs, one process one");
    runner_.set_graph(std::move(graph));
    update_runner_.set_graph(std::move(update));
  }
  /// Launches and replays windows.
  const WindowRunner& runner() const { return runner_; }
  /// Launches and replays the updates of windows, with a process group.
  const WindowRunner& update_runner() const { return update_runner_; }

  /// Number of steps, including those before a resume.
  int64_t step() const { return step_; }
  /// Lowest validation loss so far; empty before the first validation.
  std::optional<double> best_loss() const { return best_loss_; }
  /// The same for the averaged weights; empty without `ema`.
  std::optional<double> best_ema_loss() const { return best_ema_loss_; }
  /// The step of best_loss.
  int64_t best_step() const { return best_step_; }
  /// Number of updates skipped because loss or gradient was not finite, or because of the optimizer's skip_norm.
  int64_t skipped() const;
  /// Whether the run has returned to a checkpoint because of `recover`.
  bool recovered() const { return recovered_; }

  /// The `run_settings` of the run in `folder`. Throws hmrnn::Error naming the file.
  static std::string read_run_settings(const RunFolder& folder);

 private:
  using Clock = std::chrono::steady_clock;

  /// One window of training.
  void train_step();
  // The parts that are the same for every window of a layout and can be replayed, since they only read and write
  // tensors.
  /// Forward and backward pass; then the update, or with a process group copies the values to be summed to bucket_.
  void compute_window();
  /// The update from the gradients of the whole window.
  void update(const WindowLoss& window);
  /// Targets per second since the last record; `targets`: their number.
  double per_second(double targets) const;
  /// Reports a very large gradient once, with its parameter. Only on the CPU, since on a GPU it would wait for the
  /// device: there a large mean is reported with a record, which waits anyway.
  void report_large_gradient();
  /// The same once for the mean norm of the finite gradients since the last record.
  void report_large_gradients(double mean);
  void record();

  /// Requests of single processes between two steps, which all processes then follow.
  struct Requests {
    bool stop = false;  ///< a signal was received
    bool end = false;   ///< the time limit is reached, by the clock of the first process
    bool save = false;  ///< a save was requested
    bool late = false;  ///< the last save is too old, by the clock of the first process
  };
  // Collective work of the processes (trainer_processes.cpp).
  /// Whether this process writes files.
  bool leads() const { return !options_.group || options_.group->leads(); }
  /// See ProcessGroup::lead; without a group it only calls `work`.
  void lead(const std::function<void()>& work) const;
  /// Whether `is` holds in all processes.
  bool holds_in_all(bool is) const;
  /// Copies the weights of the first process to all, and gives each process its own stream of random numbers.
  void agree_on_start();
  /// Sets agreed_ to the requests of any process, and `targets` and `positions` to their sums over all processes.
  void agree(double* targets = nullptr, double* positions = nullptr);
  /// Copies gradients, counts and means of this process's rows to bucket_. Can be replayed.
  void fill_bucket(const WindowLoss& window);
  /// Replaces them by those of all rows of the window.
  void sum_bucket();
  /// The update from the sums. Can be replayed.
  void update_from_bucket();
  /// To be called before the host waits for the device: see ProcessGroup::wait_for_sums.
  void wait_for_sums() const;
  /// The evaluation over the rows of all processes; empty if one process was interrupted.
  std::optional<Evaluation> share_evaluation(const std::optional<Evaluation>& own) const;
  /// Replaces the carried state and the generators of this process by those of all processes.
  void gather_state(SafeTensors& state) const;
  /// `file`, but of the carried state only the rows of this process.
  SafeTensors own_rows(const SafeTensors& file) const;
  void load_generators(const SafeTensors& file, const std::string& where) const;

  /// Empty if it was interrupted.
  std::optional<Evaluation> evaluate_task();
  /// False if it was interrupted.
  bool evaluate(bool scheduled);
  /// The same; if it throws and there is only one process, tries to save the step first, as one not evaluated.
  bool evaluate_or_save(bool scheduled);
  void record_evaluation(const Evaluation& result, const std::optional<Evaluation>& averaged);
  /// Reports the loss of an evaluation. If it is lower than `best`, saves the model at `path`, sets `best` and returns
  /// true; if the file cannot be written, reports that and returns false.
  bool save_if_best(const std::filesystem::path& path, double loss, std::optional<double>& best,
                    const std::string& what);
  /// All tensors that a resume needs; they may share memory with those in use.
  SafeTensors pack_state() const;
  void unpack_state(const SafeTensors& file, const std::string& where, double skipped_total, double skipped_in_row);
  /// Saves to last/. Throws hmrnn::Error and leaves last/ unchanged if the weights are not finite.
  void save();
  /// The same during a run: if the disk is full or the folder cannot be written, reports it, and the run continues.
  void try_save();
  /// Writes a record, a line of MetricsWriter; if that fails, reports it, and the record is written later.
  void write_record(const std::string& record);
  void require_finite_weights() const;
  /// Saves to last/ without checking the weights.
  void store();
  /// After `max_skipped` consecutive skipped updates: returns to a checkpoint, or saves and throws hmrnn::Error (in
  /// trainer_recovery.cpp, like the next three).
  void recover_or_give_up();
  /// Keeps the state of the last step as the checkpoint to return to.
  void keep_for_recovery();
  /// False if there is no checkpoint to return to.
  bool return_to_checkpoint();
  /// The part of a return after its state was saved, which a resume completes if the process died: records and kept
  /// saves of later steps are removed, the return is recorded, and its checkpoint is no longer needed.
  void complete_return();
  /// Why updates are skipped, for messages: "loss or gradient is not finite".
  std::string reason_to_skip() const;
  /// The part of the state that a resume and a return to a checkpoint restore in the same way.
  void go_on_from(const TrainerState& state);
  void save_model(const std::filesystem::path& path, std::optional<double> validation_loss);
  /// Whether the last save was complete: last/model is of this step, and it was kept if it should be.
  bool last_save_is_whole() const;
  bool evaluation_due() const;
  std::optional<StopReason> limit_reached() const;
  bool stopped() const { return options_.group ? agreed_.stop : asked_to_stop(); }
  bool out_of_time() const { return options_.group ? agreed_.end : time_is_over(); }
  bool save_asked_for() const { return options_.group ? agreed_.save : save_requested_ && save_requested_(); }
  bool save_is_late() const { return options_.group ? agreed_.late : last_save_is_old(); }
  bool time_is_over() const { return options_.minutes > 0 && elapsed() >= options_.minutes * 60; }
  bool last_save_is_old() const;
  /// Takes the lock of the folder, and says if that is not possible there.
  void lock();
  int64_t epoch() const { return step_ / task_.windows(); }
  double elapsed() const;
  double seconds_left() const;
  /// Learning rate of the last update (before the first one: of the first).
  double last_learning_rate() const { return learning_rate(std::max<int64_t>(step_ - 1, 0)); }
  /// Learning rate of the update after `step` steps.
  double learning_rate(int64_t step) const { return recovered_ ? schedule_.rate(step) / 2 : schedule_.rate(step); }
  ProgressLine progress_line(const RunningSums::Means& means, double per_second) const;

  TrainingTask& task_;
  TrainerOptions options_;
  RunFolder folder_;
  Progress& progress_;
  std::string run_settings_;
  std::function<bool()> stop_, save_requested_;
  std::function<void(double, double)> after_step_;

  ClippedAdam optimizer_;
  std::optional<AveragedWeights> averaged_;
  LearningRateSchedule schedule_;
  std::unique_ptr<RunLock> lock_;
  std::unique_ptr<MetricsWriter> metrics_;

  /// What the processes sum for each window.
  struct Bucket {
    torch::Tensor all;                 ///< [N], dtype of the weights; the others are its parts, in this order
    std::vector<torch::Tensor> means;  ///< over the targets: gradients of the parameters, the task's means, the loss
    torch::Tensor updates;             ///< [L]: WindowLoss::updates
  };

  bool ready_ = false;   ///< started or resumed
  LoadedWindow window_;  ///< the current one
  Requests agreed_;      ///< requests of all processes, as of the last step
  Bucket bucket_;        ///< from the first window on

  int64_t step_ = 0;
  int64_t evaluated_step_ = -1;       ///< step of the last evaluation
  bool evaluation_recorded_ = false;  ///< the evaluation of this step is in the metrics already
  int64_t saved_step_ = -1;
  Clock::time_point saved_at_;       ///< time of the last save or attempt
  bool records_pending_ = false;     ///< records could not be written, which was reported
  ClippedAdam::Report last_update_;  ///< of the last window, if watch_gradients_
  bool watch_gradients_ = false;     ///< on the CPU, until a large gradient was reported
  bool watch_means_ = false;         ///< elsewhere, until large gradients were reported
  std::optional<double> best_loss_, best_ema_loss_;
  int64_t best_step_ = 0;
  std::map<std::filesystem::path, std::string> unsaved_best_;  ///< best models that could not be written, and why
  bool recovered_ = false;
  int64_t recovered_from_ = -1;  ///< see TrainerState
  double slope_ = 1;
  double learning_rate_ = -1;  ///< current rate of the optimizer; -1: not set yet
  RunningSums sums_;           ///< since the last record
  WindowRunner runner_;
  /// With a process group. It runs the layouts of runner_, so that both replay the same windows.
  WindowRunner update_runner_;
  double train_seconds_ = 0;                    ///< since the last record, without evaluations and saving
  double elapsed_before_ = 0;                   ///< seconds, in earlier processes of this run
  int64_t steps_here_ = 0;                      ///< in this process
  double step_seconds_ = 0, step_targets_ = 0;  ///< of the last step
  Clock::time_point step_start_;
  Clock::time_point start_;
};

}  // namespace hmrnn
