// Small runs of the Trainer in a folder of their own, and what to compare of them.
#pragma once

#include <nlohmann/json.hpp>

#include "hmrnn/data/text_corpus.h"
#include "hmrnn/io/safetensors.h"
#include "hmrnn/train/text_task.h"
#include "hmrnn/train/trainer.h"

namespace hmrnn::test {

/// Asked after every step: whether to stop.
using StopAsked = std::function<bool(const Trainer&)>;

/// Trains `task` in `folder`, from its state with `resume`; returns why it stopped.
inline StopReason train_in(const std::filesystem::path& folder, bool resume, TrainingTask& task,
                           const TrainerOptions& options, const StopAsked& stop) {
  Progress progress(nullptr);
  const Trainer* self = nullptr;
  Trainer trainer(task, options, RunFolder(folder), progress, {{"note", "small"}},
                  [&] { return stop && self && stop(*self); });
  self = &trainer;
  if (resume) {
    trainer.resume();
  } else {
    trainer.start();
  }
  return trainer.run();
}

/// A small character model on the synthetic text.
struct SmallRun {
  BoundaryMode boundary = BoundaryMode::Step;
  Core core = Core::HMLSTM;
  double dropout = 0;
  int64_t text = 4000;
  TrainerOptions trainer = {
      .slope_rate = 0.5, .slope_max = 2.2, .eval_every = 7, .checkpoint_every = 5, .log_every = 4};
  StopAsked stop;

  /// See train_in.
  StopReason operator()(const std::filesystem::path& folder, bool resume) const {
    TextCorpusOptions options;
    options.synthetic_length = text;
    const auto corpus = load_text_corpus(options);
    torch::manual_seed(resume ? 99 : 5);  // a resume must not depend on it
    CharLM model(CharLMOptions(corpus.vocabulary.size())
                     .embedding_size(6)
                     .hidden_sizes({8, 7, 5})
                     .output_embedding_size(9)
                     .core(core)
                     .boundary(boundary)
                     .dropout(dropout));
    TextTask task(model, corpus, {.synthetic_length = text, .synthetic_seed = 1},
                  {.batch = 6, .window = 20, .eval_streams = 5});
    return train_in(folder, resume, task, trainer, stop);
  }
};

/// Records of metrics.jsonl without what depends on the clock.
inline std::vector<std::string> records(const std::filesystem::path& folder) {
  std::ifstream file(folder / "metrics.jsonl");
  std::vector<std::string> out;
  for (std::string line; std::getline(file, line);) {
    auto json = nlohmann::json::parse(line);
    json.erase("characters_per_second");
    json.erase("points_per_second");
    out.push_back(json.dump());
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
