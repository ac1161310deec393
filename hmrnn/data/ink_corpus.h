#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "hmrnn/data/ink_cache.h"
#include "hmrnn/data/ink_line.h"
#include "hmrnn/export.h"
#include "hmrnn/models/corpus_reference.h"
#include "hmrnn/models/ink_normalisation.h"

namespace hmrnn {

/// The protocol of the parts.
enum class InkSplit {
  Paper,   ///< the paper's counts, no form in two parts
  Lines,   ///< the paper's counts, each line by itself: easier, and likelier what the paper did
  Graves,  ///< Graves' lists
};

/// "paper", "lines" or "graves"; throws hmrnn::Error for anything else.
HMRNN_API InkSplit parse_ink_split(const std::string& name);
/// The way back.
HMRNN_API std::string to_string(InkSplit split);

/// Options of load_ink_corpus.
struct InkCorpusOptions {
  std::string corpus = "synthetic";  ///< synthetic | iam
  /// of IAM-OnDB: a folder or an archive (find_ink_source). Empty: default_data_dir.
  std::filesystem::path data_dir;
  InkSplit split = InkSplit::Paper;  ///< how the lines are parted
  uint64_t split_seed = 1;           ///< of the splits Paper and Lines
  int64_t min_points = 300;          ///< lines with fewer points are dropped, and such of a single point in any case
  OnBadFile on_bad_file = OnBadFile::Stop;            ///< what a malformed file does
  int64_t synthetic_lines = 1500;                     ///< of the synthetic corpus
  uint64_t synthetic_seed = 1;                        ///< of the synthetic corpus
  std::filesystem::path cache = default_ink_cache();  ///< empty: no cache
};

/// How to load the handwriting again that a checkpoint names. A data folder that is gone (the run was moved) is left to
/// the default look-up. Throws hmrnn::Error for a split or a treatment of bad files that does not exist.
HMRNN_API InkCorpusOptions options_to_load(const InkReference& reference);

/// Lines of handwriting in parts.
struct HMRNN_API InkCorpus {
  std::string name;            ///< "iam" or "synthetic"
  std::string source;          ///< where it was read from, for messages
  std::vector<InkLine> lines;  ///< those of at least min_points, in the order of their names
  std::map<std::string, std::vector<size_t>>
      parts;  ///< "train", "valid", "test" (and Graves' "valid2") → indices of lines

  int64_t files = 0;             ///< read, bad ones included
  std::vector<std::string> bad;  ///< an error for each file left out
  int64_t dropped = 0;           ///< files with fewer than min_points
  size_t divided_forms = 0;      ///< see InkSplits
  size_t unlisted = 0;           ///< see InkSplits
  std::string cache_note;        ///< "read from PATH", "written to PATH" or why it was not; empty: no cache

  /// Indices of the lines of a part, or of "all" of them. Throws hmrnn::Error for another name.
  std::vector<size_t> split(const std::string& split_name) const;
  /// 16 hexadecimal digits that depend on every point of the lines, on their order and on their parts (XXH3).
  std::string content_hash() const;
  double mean_length() const;  ///< points of a line
  /// Counts for people, a few lines: files, kept, dropped, mean length, parts, forms that are divided.
  std::string report() const;
};

/// Reads or generates the lines, drops the short ones and splits the others. Throws hmrnn::Error naming what is missing
/// or malformed, and if no line is left or a part is empty.
HMRNN_API InkCorpus load_ink_corpus(const InkCorpusOptions& options);

/// Mean and standard deviation over the given lines (of their offsets, all points but each line's first; or of all
/// their coordinates). A deviation of 0 counts as 1. Throws hmrnn::Error if there is no offset at all.
HMRNN_API InkNormalisation measure_ink(const InkCorpus& corpus, const std::vector<size_t>& lines,
                                       InkCoordinates coordinates);

}  // namespace hmrnn
