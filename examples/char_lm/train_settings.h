#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "arguments.h"
#include "hmrnn/models/char_lm.h"
#include "hmrnn/train/char_lm_checkpoint.h"
#include "hmrnn/train/text_task.h"
#include "hmrnn/train/trainer.h"

/// Everything that an option of `train` sets, checked.
struct TrainSettings {
  std::string preset;  ///< empty: none
  hmrnn::CorpusReference corpus;
  std::vector<int64_t> units;
  int64_t embedding = 0, output_embedding = 0;
  hmrnn::Core core = hmrnn::Core::HMLSTM;
  hmrnn::BoundaryMode boundary = hmrnn::BoundaryMode::Step;
  bool layer_norm = true;
  double forget_bias = 0, boundary_bias = 0, dropout = 0;
  int64_t batch = 0, window = 0, eval_streams = 0;
  uint64_t seed = 0;
  int64_t threads = 0;  ///< 0: LibTorch's choice
  std::string device, dtype;
  hmrnn::TrainerOptions trainer;

  /// Options of `train` as the help shows them, --out and --resume among them.
  static std::vector<OptionSpec> specs();
  /// A new run: defaults, the preset over them, `given` over both. Throws hmrnn::Error for what does not make sense.
  static TrainSettings create(const OptionMap& given);
  /// A run that is taken up: `stored` (what `options` returned) with those of `given` that a resume may change. Throws
  /// hmrnn::Error if another of `given` contradicts `stored`; `where` names the run.
  static TrainSettings resumed(const OptionMap& stored, const OptionMap& given, const std::string& where);

  /// Every option with its value, in one canonical form.
  OptionMap options() const;
  hmrnn::CharLMOptions model(int64_t vocabulary_size) const;
};
