#pragma once

#include <filesystem>
#include <string>

#include "hmrnn/export.h"
#include "hmrnn/models/char_lm.h"
#include "hmrnn/models/corpus_reference.h"
#include "hmrnn/models/given_boundaries.h"
#include "hmrnn/models/vocabulary.h"

namespace hmrnn {

/// A character model as model.safetensors holds it.
struct CharLMCheckpoint {
  CharLM model{nullptr};       ///< float32 on the CPU, slope as saved, evaluation mode
  Vocabulary vocabulary;       ///< of its embedding and its softmax
  CorpusReference corpus;      ///< what it was trained on
  int64_t step = 0;            ///< of training
  GivenBoundaries boundaries;  ///< the segmentation it was trained with, if that was given
  bool verified = false;       ///< the file had checksums, see read_safetensors
};

/// Rebuilds a model from a checkpoint. Throws hmrnn::Error naming the file and what is wrong with it: unreadable,
/// metadata missing, malformed or with an entry that this version does not know, tensors missing, left over or of
/// another shape, values that are not finite.
HMRNN_API CharLMCheckpoint load_char_lm(const std::filesystem::path& path);

/// The metadata of a model: the text of a JSON object that model.safetensors has under the metadata key `hmrnn`,
/// without the entries of training: format, model options, vocabulary (byte values in index order), slope, corpus, and
/// the given segmentation, if there is one. Throws hmrnn::Error if a text in `corpus` is not UTF-8.
HMRNN_API std::string describe_char_lm(const CharLMOptions& options, double slope, const Vocabulary& vocabulary,
                                       const CorpusReference& corpus, const std::string& boundaries = {});

}  // namespace hmrnn
