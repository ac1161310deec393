#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "hmrnn/data/ink_files.h"
#include "hmrnn/data/ink_line.h"
#include "hmrnn/export.h"

namespace hmrnn {

/// What the loader does about a malformed file: throw an error, or skip the file and report it.
enum class OnBadFile { Stop, Skip };

/// Accepts "stop" and "skip"; throws hmrnn::Error for anything else.
HMRNN_API OnBadFile parse_on_bad_file(const std::string& name);

/// A set of lineStrokes files, parsed.
struct ParsedInk {
  std::vector<InkLine> lines;            ///< sorted by name
  std::vector<std::string> file_errors;  ///< of each skipped file; it names the file
  bool cached = false;                   ///< read from the cache
  std::filesystem::path cache;           ///< path of the cache file; empty: no cache
  std::string cache_error;  ///< why the cache could not be written; empty: it was written, or there is no cache
};

/// Parses all files of `source`. Throws hmrnn::Error for a malformed file (OnBadFile::Stop only), for two files of one
/// name, and in the cases in which find_ink_source and visit_ink_files throw.
///
/// With `cache_folder` (created if absent), the result is stored there, in a file named by ink_content_key, and read
/// from there the next time. A damaged cache file counts as absent; a cache that cannot be written is not an error.
HMRNN_API ParsedInk parse_ink_files(const InkSource& source, OnBadFile on_bad_file,
                                    const std::filesystem::path& cache_folder = {});

/// Returns $HMRNN_CACHE/ink, else ~/.cache/hmrnn/ink; empty if neither HMRNN_CACHE nor HOME is set.
HMRNN_API std::filesystem::path default_ink_cache();

}  // namespace hmrnn
