// Small runs of the Trainer in their own folders, and how to compare them.
#pragma once

#include <limits>
#include <mutex>
#include <nlohmann/json.hpp>
#include <set>

#include "hmrnn/data/text_corpus.h"
#include "hmrnn/io/safetensors.h"
#include "hmrnn/tasks/text_task.h"
#include "hmrnn/train/trainer.h"

namespace hmrnn::test {

/// Next-character prediction whose loss is not finite in the given windows.
class DisturbedTextTask : public TextTask {
 public:
  DisturbedTextTask(CharLM model, const TextCorpus& corpus, CorpusReference reference, const TextTaskOptions& options,
                    std::set<int64_t> bad)
      : TextTask(std::move(model), corpus, std::move(reference), options),
        bad_(std::move(bad)),
        disturbance_(torch::zeros({}, options.device)) {}

  /// Called before each evaluation.
  std::function<void()> before_evaluation;
  std::optional<Evaluation> evaluate(const std::function<bool()>& stop) override {
    if (before_evaluation) before_evaluation();
    return TextTask::evaluate(stop);
  }
  /// Called when an evaluation is recorded.
  std::function<void()> before_record;
  std::vector<std::pair<std::string, double>> measures(double loss, bool validation) const override {
    if (validation && before_record) before_record();
    return TextTask::measures(loss, validation);
  }
  /// Enables or disables these windows from now on.
  void set_disturbed(bool disturbed) { disturbed_ = disturbed; }
  LoadedWindow load(int64_t epoch, int64_t window) override {
    disturbance_.fill_(disturbed_ && bad_.contains(window) ? std::numeric_limits<double>::quiet_NaN() : 0);
    return TextTask::load(epoch, window);
  }
  WindowLoss forward() override {
    auto out = TextTask::forward();
    out.loss = out.loss + disturbance_;
    return out;
  }

 private:
  std::set<int64_t> bad_;
  bool disturbed_ = true;
  torch::Tensor disturbance_;
};

/// Callbacks of a test.
struct TrainerHooks {
  std::function<bool(const Trainer&)> stop;    ///< called after every step; true stops the run
  std::function<void(Trainer&)> prepare;       ///< before start() or resume()
  std::function<void(Trainer&)> begin;         ///< after these, before the first step
  std::function<void(const Trainer&)> finish;  ///< after the last step
};

/// Trains `task` in `folder`, from the saved state with `resume`; returns why it stopped.
inline StopReason train_in(const std::filesystem::path& folder, bool resume, TrainingTask& task,
                           const TrainerOptions& options, const TrainerHooks& hooks) {
  Progress progress(nullptr);
  const Trainer* self = nullptr;
  Trainer trainer(task, options, RunFolder(folder), progress, R"({"note": "small"})",
                  [&] { return hooks.stop && self && hooks.stop(*self); });
  self = &trainer;
  if (hooks.prepare) hooks.prepare(trainer);
  if (resume) {
    trainer.resume();
  } else {
    trainer.start();
  }
  if (hooks.begin) hooks.begin(trainer);
  const auto reason = trainer.run();
  if (hooks.finish) hooks.finish(trainer);
  return reason;
}

/// A small character model on the synthetic text.
struct SmallRun : TrainerHooks {
  BoundaryMode boundary = BoundaryMode::Step;
  Core core = Core::HMLSTM;
  bool layer_norm = true;
  double norm_gain = 1;
  double dropout = 0;
  double recurrent_dropout = 0, locked_dropout = 0, weight_drop = 0, embedding_dropout = 0;
  std::vector<int64_t> units = {8, 7, 5};
  int64_t batch = 6, window = 20;
  std::optional<torch::ScalarType> product_dtype;
  int64_t text = 4000;
  TrainerOptions trainer = {
      .slope_rate = 0.5, .slope_max = 2.2, .eval_every = 7, .checkpoint_every = 5, .log_every = 4};
  bool roll = false;
  BoundaryCostOptions boundary_cost = {};
  double detector_norm_cap = 0;
  std::string boundaries = {};
  std::set<int64_t> bad_windows = {};  ///< in every epoch: windows whose loss is not finite
  std::function<void()> before_evaluation = {}, before_record = {};
  bool bad_until_recovery = false;  ///< only until the run has returned to a checkpoint
  torch::Device device = torch::kCPU;
  int64_t rank = 0, ranks = 1;                ///< see TextTaskOptions; with trainer.group
  torch::ScalarType dtype = torch::kFloat32;  ///< of the weights

  /// Enables every regulariser.
  void regularise() { recurrent_dropout = 0.1, locked_dropout = 0.25, weight_drop = 0.3, embedding_dropout = 0.1; }
  /// Enables what a recipe has: a text that is rolled, target rates, a cap, averaged weights, weight decay.
  void use_recipe() {
    roll = true;
    boundary_cost.target_rate = {0.3, 0.1};
    boundary_cost.speed = 0.05;
    detector_norm_cap = 0.2;
    trainer.ema = 0.9;
    trainer.optimizer = {.beta2 = 0.99, .clip = 0.1, .weight_decay = 1e-3};
  }
  /// Makes the run return to a checkpoint, at step 10, after four updates that are not finite.
  void return_to_checkpoint() {
    for (int64_t bad = 12; bad < 28; ++bad) bad_windows.insert(bad);
    bad_until_recovery = true;
    trainer.recover = true;
    trainer.max_skipped = 4;
  }
  /// Skips updates whose gradient norm is above `norm`, and checks that these are at least `least` and fewer than 30.
  void skip_above(double norm, int64_t least) {
    trainer.optimizer.skip_norm = norm;
    trainer.max_skipped = 1000;
    finish = [least](const Trainer& run) {
      CHECK(run.skipped() >= least);
      CHECK(run.skipped() < 30);
    };
  }

  /// See train_in.
  StopReason operator()(const std::filesystem::path& folder, bool resume) const {
    TextCorpusOptions options;
    options.synthetic_length = text;
    const auto corpus = load_text_corpus(options);
    // Threads in the role of processes share one generator.
    static std::mutex mutex;
    std::unique_lock<std::mutex> lock(mutex);
    torch::manual_seed(resume ? 99 : 5);  // a resume must not depend on the seed
    CharLM model(CharLMOptions(corpus.vocabulary.size())
                     .embedding_size(6)
                     .hidden_sizes(units)
                     .output_embedding_size(9)
                     .core(core)
                     .layer_norm(layer_norm)
                     .norm_gain(norm_gain)
                     .boundary(boundary)
                     .dropout(dropout)
                     .recurrent_dropout(recurrent_dropout)
                     .locked_dropout(locked_dropout)
                     .weight_drop(weight_drop)
                     .embedding_dropout(embedding_dropout));
    lock.unlock();
    model->to(dtype);
    DisturbedTextTask task(model, corpus, {.synthetic_length = text, .synthetic_seed = 1},
                           {.batch = batch,
                            .window = window,
                            .eval_streams = 5,
                            .roll = roll,
                            .boundaries = boundaries,
                            .boundary_cost = boundary_cost,
                            .detector_norm_cap = detector_norm_cap,
                            .rank = rank,
                            .ranks = ranks,
                            .device = device,
                            .product_dtype = product_dtype},
                           bad_windows);
    task.before_evaluation = before_evaluation;
    task.before_record = before_record;
    if (!bad_until_recovery) return train_in(folder, resume, task, trainer, *this);
    auto hooks = static_cast<const TrainerHooks&>(*this);
    const auto tell = [&task](const Trainer& now) { task.set_disturbed(!now.recovered()); };
    hooks.begin = [&](Trainer& now) {
      tell(now);
      if (begin) begin(now);
    };
    hooks.stop = [&](const Trainer& now) {
      tell(now);
      return stop && stop(now);
    };
    return train_in(folder, resume, task, trainer, hooks);
  }
};

/// Records of metrics.jsonl without times and without records of a resume.
inline std::vector<std::string> records(const std::filesystem::path& folder) {
  std::ifstream file(folder / "metrics.jsonl");
  std::vector<std::string> out;
  for (std::string line; std::getline(file, line);) {
    auto json = nlohmann::json::parse(line);
    if (json["event"] == "resume") continue;
    json.erase("characters_per_second");
    json.erase("points_per_second");
    out.push_back(json.dump());
  }
  return out;
}

/// The records of one kind of event, as JSON.
inline std::vector<nlohmann::json> parsed_records(const std::filesystem::path& folder, const std::string& event) {
  std::vector<nlohmann::json> out;
  for (const auto& record : records(folder)) {
    auto json = nlohmann::json::parse(record);
    if (json["event"] == event) out.push_back(json);
  }
  return out;
}

/// Whether two files hold the same tensors, bit for bit.
inline bool same_tensors(const std::filesystem::path& a, const std::filesystem::path& b) {
  const auto x = read_safetensors(a), y = read_safetensors(b);
  if (x.tensors.size() != y.tensors.size()) return false;
  for (const auto& [name, tensor] : x.tensors) {
    const auto other = y.find(name);
    if (!other.defined() || !torch::equal(tensor, other)) return false;
  }
  return true;
}

}  // namespace hmrnn::test
