#pragma once

#include <string>
#include <vector>

#include "examples/program/train_options.h"
#include "hmrnn/data/ink_corpus.h"
#include "hmrnn/models/handwriting_checkpoint.h"
#include "hmrnn/models/handwriting_model.h"

/// Checked values of all options of `train`.
struct TrainSettings : CommonSettings {
  hmrnn::InkReference corpus;
  hmrnn::InkCoordinates coordinates = hmrnn::InkCoordinates::Offsets;
  int64_t mixtures = 0;
  double scale_jitter = 0;
  std::string init_from;  ///< a run or a model that provides the initial weights and the normalisation; empty: none

  /// The same functions as char_lm's.
  static std::vector<OptionSpec> specs();
  static TrainSettings create(const OptionMap& given);
  static TrainSettings resumed(const OptionMap& stored, const OptionMap& given, const std::string& where);

  OptionMap options() const;
  hmrnn::HandwritingOptions model() const;
};
