#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "examples/program/train_options.h"
#include "hmrnn/models/char_lm.h"
#include "hmrnn/models/char_lm_checkpoint.h"
#include "hmrnn/tasks/text_task.h"

/// Everything that an option of `train` sets, checked.
struct TrainSettings : CommonSettings {
  hmrnn::CorpusReference corpus;
  int64_t embedding = 0, eval_streams = 0;
  std::string boundaries;  ///< a given segmentation; empty: the detectors decide
  std::string init_from;   ///< a run or a model whose weights are the first ones; empty: new ones
  bool roll = false;
  double embedding_dropout = 0;

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

/// `data_dir`, given with --data-dir. Throws hmrnn::Error unless `corpus` is one that lies in a folder: it would be
/// ignored.
std::string data_dir_of(const std::string& corpus, const std::string& data_dir);
