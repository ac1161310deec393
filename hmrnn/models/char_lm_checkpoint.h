#pragma once

#include <filesystem>
#include <string>

#include "hmrnn/data/text_corpus.h"
#include "hmrnn/export.h"
#include "hmrnn/models/char_lm.h"
#include "hmrnn/models/vocabulary.h"

namespace hmrnn {

/// The text a model was trained on, as its checkpoint names it.
struct CorpusReference {
  std::string corpus = "synthetic";  ///< as in TextCorpusOptions; a file by its absolute path
  std::string data_dir = {};         ///< absolute; empty: the default one
  int64_t synthetic_length = 0;      ///< of the synthetic corpus
  uint64_t synthetic_seed = 0;       ///< of the synthetic corpus

  /// How to load it again. A data folder that is gone (the run was moved) is left to the default look-up.
  HMRNN_API TextCorpusOptions options() const;
};

/// A character model as model.safetensors holds it.
struct CharLMCheckpoint {
  CharLM model{nullptr};   ///< float32 on the CPU, slope as saved, evaluation mode
  Vocabulary vocabulary;   ///< of its embedding and its softmax
  CorpusReference corpus;  ///< what it was trained on
  int64_t step = 0;        ///< of training
};

/// Rebuilds a model from a checkpoint. Throws hmrnn::Error naming the file and what is wrong with it: unreadable,
/// metadata missing or malformed, tensors missing, left over or of another shape, values that are not finite.
HMRNN_API CharLMCheckpoint load_char_lm(const std::filesystem::path& path);

}  // namespace hmrnn
