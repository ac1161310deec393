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

/// A text in three splits over one vocabulary.
struct HMRNN_API TextCorpus {
  std::string name;       ///< "ptb", "text8", "enwik8", "synthetic" or the names of the files, separated by commas
  std::string source;     ///< path of the data, for messages
  Vocabulary vocabulary;  ///< covers all splits
  torch::Tensor train;    ///< uint8 [N], indices, CPU
  torch::Tensor valid;    ///< uint8 [N]
  torch::Tensor test;     ///< uint8 [N]

  /// "train", "valid", "test", or "all" (the three concatenated); throws hmrnn::Error for another name.
  torch::Tensor split(const std::string& split_name) const;
  /// 16 hexadecimal digits: a hash (XXH3) of the indices of the three splits, which depend on the order of the symbols.
  std::string content_hash() const;
  /// Re-encodes the splits with the vocabulary `symbols`, which must contain the present one; throws hmrnn::Error
  /// naming a byte that it lacks.
  void use_vocabulary(const Vocabulary& symbols);
};

/// The greatest synthetic_length of TextCorpusOptions.
inline constexpr int64_t kMostSyntheticCharacters = 1'000'000'000;

/// Options of load_text_corpus.
struct TextCorpusOptions {
  /// ptb | text8 | enwik8 | synthetic | the path of a file (read as bytes) | several paths separated by commas
  /// (concatenated)
  std::string corpus = "synthetic";
  /// Files for the valid and the test split, instead of a part of the corpus; only if `corpus` names files.
  std::string valid_file = {}, test_file = {};  ///< the file for the test split
  /// Folder of the corpus. Empty: default_data_dir.
  std::filesystem::path data_dir;
  /// If not empty, used instead of the text's own vocabulary; it must contain all bytes of the text.
  Vocabulary vocabulary;
  /// Number of characters of the synthetic corpus, all splits together: 1 to kMostSyntheticCharacters.
  int64_t synthetic_length = 2'000'000;
  uint64_t seed = 1;  ///< seed of the synthetic corpus
};

/// Options that load the text named by a checkpoint. If its data folder no longer exists (the run was moved), the
/// default folder is used.
HMRNN_API TextCorpusOptions options_to_load(const CorpusReference& reference);

/// Reads a corpus. PTB: `ptb.char.{train,valid,test}.txt` (Mikolov's format: symbols separated by spaces; `_` becomes a
/// space, byte 32 of the vocabulary; each line end is a symbol; blank lines at the end are ignored), or, if these are
/// absent, `ptb.{train,valid,test}.txt` (plain words). text8*, enwik*, FILE: bytes, plain or .xz, split 90 : 5 : 5
/// (text8 and enwik8 in full length exactly 90M / 5M / 5M); a split that has its own file takes no part of the corpus.
/// Throws hmrnn::Error naming what is missing, empty or malformed.
HMRNN_API TextCorpus load_text_corpus(const TextCorpusOptions& options);

/// The files that `corpus` names: `corpus` itself if that file exists, else its comma-separated paths. Empty if one of
/// them does not exist.
HMRNN_API std::vector<std::filesystem::path> corpus_files(const std::string& corpus);

/// Contents of a regular file, decompressed if its name ends in .xz (libarchive). Throws hmrnn::Error naming the file
/// if it cannot be read, is empty, is compressed in another way, or decompresses to an implausible size
/// (limit_decompression).
HMRNN_API std::string read_text_file(const std::filesystem::path& path);

}  // namespace hmrnn
