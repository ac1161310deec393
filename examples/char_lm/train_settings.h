#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "examples/program/train_options.h"
#include "hmrnn/models/char_lm.h"
#include "hmrnn/models/char_lm_checkpoint.h"
#include "hmrnn/tasks/text_task.h"

/// Checked values of all options of `train`.
struct TrainSettings : CommonSettings {
  hmrnn::CorpusReference corpus;
  int64_t embedding = 0, eval_streams = 0;
  std::string boundaries;  ///< a given segmentation; empty: detectors
  std::string init_from;   ///< a run or a model that provides the initial weights; empty: none
  bool roll = false;
  double embedding_dropout = 0;

  /// The options of `train` for the help, including --out and --resume.
  static std::vector<OptionSpec> specs();
  /// Settings of a new run: `given`, else the preset's, else the defaults. Throws hmrnn::Error for invalid values.
  static TrainSettings create(const OptionMap& given);
  /// Settings of a resumed run: `stored` (a result of `options`), with those of `given` that a resume may change.
  /// Throws hmrnn::Error if another of `given` contradicts `stored`; `where` names the run.
  static TrainSettings resumed(const OptionMap& stored, const OptionMap& given, const std::string& where);

  /// Every option with its value, in a canonical form.
  OptionMap options() const;
  hmrnn::CharLMOptions model(int64_t vocabulary_size) const;
};

/// Returns `data_dir`, the value of --data-dir. Throws hmrnn::Error if `corpus` is not in a folder, since the option
/// would be ignored.
std::string data_dir_of(const std::string& corpus, const std::string& data_dir);
