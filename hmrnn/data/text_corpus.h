#pragma once

#include <torch/types.h>

#include <filesystem>
#include <string>
#include <vector>

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
  /// 16 hexadecimal digits that depend on every character of the three splits and on the order of the symbols (XXH3).
  std::string content_hash() const;
  /// Writes the same text in the symbols of `symbols`, which has to cover the present ones; throws hmrnn::Error naming
  /// a byte that it lacks.
  void use_vocabulary(const Vocabulary& symbols);
};

/// Options of load_text_corpus.
struct TextCorpusOptions {
  /// ptb | text8 | enwik8 | synthetic | path of a file (read as bytes), or of several, separated by commas: one text
  std::string corpus = "synthetic";
  /// Files to validate and to test on, in place of a part of the corpus; for a corpus of files alone.
  std::string valid_file = {}, test_file = {};  ///< the same for the test split
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
/// and enwik8 at full length 90M / 5M / 5M exactly); a part that has a file of its own is not cut off. Throws
/// hmrnn::Error naming what is missing, empty or malformed.
HMRNN_API TextCorpus load_text_corpus(const TextCorpusOptions& options);

/// The files that a corpus of files names: `corpus` itself if there is such a file, else what it names between commas.
/// Empty if one of them does not exist.
HMRNN_API std::vector<std::filesystem::path> corpus_files(const std::string& corpus);

/// The bytes of a regular file, decompressed if its name ends in .xz (libarchive). Throws hmrnn::Error naming the file,
/// also where it is packed in another way or decompresses to absurd sizes (limit_decompression).
HMRNN_API std::string read_text_file(const std::filesystem::path& path);

}  // namespace hmrnn
