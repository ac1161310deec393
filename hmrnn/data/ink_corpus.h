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

/// How the lines are split into parts.
enum class InkSplit {
  Paper,   ///< the paper's counts; whole forms
  Lines,   ///< the paper's counts, line by line: easier, and probably what the paper did
  Graves,  ///< Graves' lists of forms
};

/// Accepts "paper", "lines" and "graves"; throws hmrnn::Error for anything else.
HMRNN_API InkSplit parse_ink_split(const std::string& name);
/// The inverse of parse_ink_split.
HMRNN_API std::string to_string(InkSplit split);

/// The greatest synthetic_lines of InkCorpusOptions.
inline constexpr int64_t kMostSyntheticLines = 1'000'000;

/// Options of load_ink_corpus.
struct InkCorpusOptions {
  std::string corpus = "synthetic";  ///< synthetic | iam
  /// IAM-OnDB: a folder or an archive (see find_ink_source). Empty: default_data_dir.
  std::filesystem::path data_dir;
  InkSplit split = InkSplit::Paper;         ///< how the lines are split into parts
  uint64_t split_seed = 1;                  ///< for Paper and Lines
  int64_t min_points = 300;                 ///< lines with fewer points are dropped; lines of one point always are
  OnBadFile on_bad_file = OnBadFile::Stop;  ///< what the loader does about a malformed file
  int64_t synthetic_lines = 1500;           ///< of the synthetic corpus: 1 to kMostSyntheticLines
  uint64_t synthetic_seed = 1;              ///< seed of the synthetic corpus
  std::filesystem::path cache = default_ink_cache();  ///< empty: no cache
};

/// Options that load the handwriting named by a checkpoint. If its data folder no longer exists (the run was moved),
/// the default folder is used. Throws hmrnn::Error for an unknown split or an unknown `on_bad_file`.
HMRNN_API InkCorpusOptions options_to_load(const InkReference& reference);

/// Lines of handwriting, split into parts.
struct HMRNN_API InkCorpus {
  std::string name;            ///< "iam" or "synthetic"
  std::string source;          ///< path of the data, for messages
  std::vector<InkLine> lines;  ///< lines with at least min_points points, sorted by name
  std::map<std::string, std::vector<size_t>>
      parts;  ///< "train", "valid", "test" (and Graves' "valid2") → indices of lines

  int64_t files = 0;                     ///< number of files read, malformed ones included
  std::vector<std::string> file_errors;  ///< of each skipped file, and of each short line with a stray point
  int64_t dropped = 0;                   ///< number of lines with fewer than min_points points
  size_t divided_forms = 0;              ///< see InkSplits
  size_t unlisted = 0;                   ///< see InkSplits
  std::string cache_note;                ///< "read from PATH", "written to PATH" or why it was not; empty: no cache

  /// Indices of the lines of a part, or of all lines for "all". Throws hmrnn::Error for an unknown name.
  std::vector<size_t> split(const std::string& split_name) const;
  /// 16 hexadecimal digits that depend on every point of the lines, on their order and on their parts (XXH3).
  std::string content_hash() const;
  double mean_length() const;  ///< points per line
  /// Summary for the terminal, a few lines: files, kept, dropped, mean length, parts, divided forms.
  std::string report() const;
};

/// Reads or generates the lines, drops the short ones and splits the others. Throws hmrnn::Error that names what is
/// missing or malformed, and if no line is left or a part is empty.
HMRNN_API InkCorpus load_ink_corpus(const InkCorpusOptions& options);

/// Mean and standard deviation over the given lines: of the offsets of all points except each line's first, or of all
/// coordinates. A deviation of 0 is replaced by 1. Throws hmrnn::Error if there is no offset.
HMRNN_API InkNormalisation measure_ink(const InkCorpus& corpus, const std::vector<size_t>& lines,
                                       InkCoordinates coordinates);

}  // namespace hmrnn
