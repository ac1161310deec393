// A small handwriting model on short synthetic lines, trained by the Trainer in its own folder.
#pragma once

#include <mutex>

#include "hmrnn/tasks/ink_task.h"
#include "train/trainer_fixture.h"

namespace hmrnn::test {

/// Short lines: the first words of synthetic ones.
inline InkCorpus short_ink(int64_t lines, size_t points) {
  InkCorpusOptions options;
  options.synthetic_lines = lines;
  options.cache.clear();
  auto corpus = load_ink_corpus(options);
  for (size_t i = 0; i < corpus.lines.size(); ++i) {
    auto& line = corpus.lines[i];
    line.points.resize(points + i * 7 % 11);
    line.word_end.resize(line.points.size());
    line.points.back().pen_up = true;
  }
  return corpus;
}

inline HandwritingOptions tiny() {
  return HandwritingOptions().hidden_sizes({8, 7, 5}).output_embedding_size(9).mixtures(3);
}

struct InkRun : TrainerHooks {
  HandwritingOptions model = tiny();
  int64_t window = 0;
  TrainerOptions trainer = {.learning_rate = 0.01,
                            .schedule = {.patience = 100},
                            .slope_rate = 0.5,
                            .slope_max = 2.2,
                            .steps = 34,
                            .eval_every = 7,
                            .checkpoint_every = 5,
                            .log_every = 4};
  BoundaryCostOptions boundary_cost = {};
  int64_t batch = 5;
  int64_t rank = 0, ranks = 1;  ///< see InkTaskOptions; with trainer.group
  torch::Device device = torch::kCPU;

  StopReason operator()(const std::filesystem::path& folder, bool resume) const {
    const auto corpus = short_ink(60, 20);
    // Threads in the role of processes share one generator.
    static std::mutex mutex;
    std::unique_lock<std::mutex> lock(mutex);
    torch::manual_seed(resume ? 99 : 5);  // a resume must not depend on the seed
    HandwritingModel network(model);
    lock.unlock();
    InkTask task(network, corpus, {.synthetic_lines = 60},
                 {.batch = batch,
                  .window = window,
                  .boundary_cost = boundary_cost,
                  .rank = rank,
                  .ranks = ranks,
                  .device = device});
    return train_in(folder, resume, task, trainer, *this);
  }
};

}  // namespace hmrnn::test
