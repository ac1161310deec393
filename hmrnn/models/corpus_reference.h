#pragma once

#include <cstdint>
#include <string>

namespace hmrnn {

/// The text that a model was trained on, as its checkpoint stores it. options_to_load of libhmrnn_train converts it to
/// the options that load the text again.
struct CorpusReference {
  std::string corpus = "synthetic";  ///< as in TextCorpusOptions; a file by its absolute path
  std::string data_dir = {};         ///< absolute; empty: the default one
  std::string valid_file = {};       ///< as in TextCorpusOptions; absolute
  std::string test_file = {};        ///< the same
  int64_t synthetic_length = 0;      ///< of the synthetic corpus
  uint64_t synthetic_seed = 0;       ///< of the synthetic corpus
};

/// The handwriting that a model was trained on, as its checkpoint stores it. options_to_load of libhmrnn_train converts
/// it to the options that load the handwriting again.
struct InkReference {
  std::string corpus = "synthetic";  ///< as in InkCorpusOptions
  std::string data_dir = {};         ///< absolute; empty: the default one
  std::string split = "paper";       ///< paper | lines | graves
  uint64_t split_seed = 1;           ///< of the splits `paper` and `lines`
  int64_t min_points = 300;          ///< lines with fewer points were dropped
  std::string on_bad_file = "stop";  ///< stop | skip
  int64_t synthetic_lines = 1500;    ///< of the synthetic corpus
  uint64_t synthetic_seed = 1;       ///< of the synthetic corpus
};

}  // namespace hmrnn
