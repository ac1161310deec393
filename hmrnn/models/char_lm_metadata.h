/// What model.safetensors says of its model beside the tensors. Apart from char_lm_checkpoint.h, which applications
/// include that need not have nlohmann/json.
#pragma once

#include <nlohmann/json_fwd.hpp>

#include "hmrnn/export.h"
#include "hmrnn/models/char_lm_checkpoint.h"

namespace hmrnn {

/// The JSON text under the metadata key `hmrnn`, without what belongs to training: format, model options, vocabulary
/// (byte values in index order), slope, corpus.
HMRNN_API nlohmann::ordered_json describe_char_lm(const CharLMOptions& options, double slope,
                                                  const Vocabulary& vocabulary, const CorpusReference& corpus);

}  // namespace hmrnn
