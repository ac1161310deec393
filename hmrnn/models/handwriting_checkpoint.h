#pragma once

#include <filesystem>
#include <nlohmann/json_fwd.hpp>
#include <string>

#include "hmrnn/data/ink_corpus.h"
#include "hmrnn/export.h"
#include "hmrnn/models/handwriting_model.h"

namespace hmrnn {

/// The handwriting a model was trained on, as its checkpoint names it.
struct InkReference {
  std::string corpus = "synthetic";  ///< as in InkCorpusOptions
  std::string data_dir = {};         ///< absolute; empty: the default one
  InkSplit split = InkSplit::Paper;
  uint64_t split_seed = 1;
  int64_t min_points = 300;
  OnBadFile on_bad_file = OnBadFile::Stop;
  int64_t synthetic_lines = 1500;
  uint64_t synthetic_seed = 1;

  /// How to load it again. A data folder that is gone (the run was moved) is left to the default look-up.
  HMRNN_API InkCorpusOptions options() const;
};

/// A handwriting model as model.safetensors holds it.
struct HandwritingCheckpoint {
  HandwritingModel model{nullptr};  ///< float32 on the CPU, slope as saved, evaluation mode
  InkNormalisation normalisation;
  InkReference corpus;
  int64_t step = 0;  ///< of training
};

/// The normalisation as JSON: {"coordinates", "mean": [x, y], "deviation": [x, y]}, in units.
HMRNN_API nlohmann::ordered_json describe_normalisation(const InkNormalisation& normalisation);

/// The JSON text under the metadata key `hmrnn`, without what belongs to training: format, model options, slope,
/// normalisation, corpus.
HMRNN_API nlohmann::ordered_json describe_handwriting(const HandwritingOptions& options, double slope,
                                                      const InkNormalisation& normalisation,
                                                      const InkReference& corpus);

/// Rebuilds a model from a checkpoint. Throws hmrnn::Error naming the file and what is wrong with it: unreadable,
/// metadata missing or malformed, tensors missing, left over or of another shape, values that are not finite.
HMRNN_API HandwritingCheckpoint load_handwriting(const std::filesystem::path& path);

}  // namespace hmrnn
