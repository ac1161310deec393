#pragma once

#include <torch/types.h>

#include <filesystem>
#include <string>

#include "hmrnn/data/data_dir.h"
#include "hmrnn/export.h"
#include "hmrnn/models/corpus_reference.h"
#include "hmrnn/models/vocabulary.h"

namespace hmrnn {

/// A text in three parts over one vocabulary.
struct HMRNN_API TextCorpus {
  std::string name;       ///< "ptb", "text8", "enwik8", "synthetic" or the file's name
  std::string source;     ///< where it was read from, for messages
  Vocabulary vocabulary;  ///< covers all splits
  torch::Tensor train;    ///< uint8 [N], indices, CPU
  torch::Tensor valid;    ///< uint8 [N]
  torch::Tensor test;     ///< uint8 [N]

  /// "train", "valid" or "test", or "all" (the three one after the other); throws hmrnn::Error for another name.
  torch::Tensor split(const std::string& split_name) const;
};

/// Options of load_text_corpus.
struct TextCorpusOptions {
  /// ptb | text8 | enwik8 | synthetic | path of a file (read as bytes)
  std::string corpus = "synthetic";
  /// The corpus's own folder. Empty: default_data_dir.
  std::filesystem::path data_dir;
  /// If not empty, this vocabulary is used (and must cover the text) instead of the text's own.
  Vocabulary vocabulary;
  /// Length in characters of the synthetic corpus, all splits together, and its seed.
  int64_t synthetic_length = 2'000'000;
  uint64_t seed = 1;  ///< of the synthetic corpus
};

/// How to load the text again that a checkpoint names. A data folder that is gone (the run was moved) is left to the
/// default look-up.
HMRNN_API TextCorpusOptions options_to_load(const CorpusReference& reference);

/// Reads a corpus. PTB: `ptb.char.{train,valid,test}.txt` (Mikolov's: symbols separated by spaces, `_` is the space,
/// byte 32 in the vocabulary; a line end is a symbol; the blank last line is not a sentence) or, where these are
/// absent, `ptb.{train,valid,test}.txt` (plain words). text8*, enwik*, FILE: bytes, plain or .xz, cut 90 : 5 : 5 (text8
/// and enwik8 at full length 90M / 5M / 5M exactly). Throws hmrnn::Error naming what is missing, empty or malformed.
HMRNN_API TextCorpus load_text_corpus(const TextCorpusOptions& options);

/// The bytes of a regular file, decompressed if its name ends in .xz (libarchive). Throws hmrnn::Error naming the file,
/// also where it is packed in another way or decompresses to absurd sizes (limit_decompression).
HMRNN_API std::string read_text_file(const std::filesystem::path& path);

}  // namespace hmrnn
