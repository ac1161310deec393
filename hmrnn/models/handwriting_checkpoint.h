#pragma once

#include <filesystem>
#include <string>

#include "hmrnn/export.h"
#include "hmrnn/models/corpus_reference.h"
#include "hmrnn/models/handwriting_model.h"
#include "hmrnn/models/ink_normalisation.h"

namespace hmrnn {

/// A handwriting model as model.safetensors holds it.
struct HandwritingCheckpoint {
  HandwritingModel model{nullptr};  ///< float32 on the CPU, slope as saved, evaluation mode
  InkNormalisation normalisation;   ///< of its input and of the points that it generates
  InkReference corpus;              ///< what it was trained on
  int64_t step = 0;                 ///< of training
  bool verified = false;            ///< the file had checksums, see read_safetensors
};

/// The metadata of a model: the text of a JSON object that model.safetensors has under the metadata key `hmrnn`,
/// without the entries of training: format, model options, slope, normalisation, corpus.
/// Throws hmrnn::Error if a text in `corpus` is not UTF-8.
HMRNN_API std::string describe_handwriting(const HandwritingOptions& options, double slope,
                                           const InkNormalisation& normalisation, const InkReference& corpus);

/// Rebuilds a model from a checkpoint. Throws hmrnn::Error naming the file and what is wrong with it: unreadable,
/// metadata missing, malformed or with an entry that this version does not know, tensors missing, left over or of
/// another shape, values that are not finite.
HMRNN_API HandwritingCheckpoint load_handwriting(const std::filesystem::path& path);

}  // namespace hmrnn
