#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "hmrnn/data/ink_files.h"
#include "hmrnn/data/ink_line.h"
#include "hmrnn/export.h"

namespace hmrnn {

/// What a malformed file does: ends the load, or is left out and reported.
enum class OnBadFile { Stop, Skip };

/// "stop" or "skip"; throws hmrnn::Error for anything else.
HMRNN_API OnBadFile parse_on_bad_file(const std::string& name);

/// A set of lineStrokes files, parsed.
struct ParsedInk {
  std::vector<InkLine> lines;    ///< in the order of their names
  std::vector<std::string> bad;  ///< a line of error for each file left out, which it names
  bool cached = false;           ///< taken from the cache
  std::filesystem::path cache;   ///< the cache's file; empty: there is none
  std::string cache_error;       ///< why the cache could not be written; empty: it could, or none was asked for
};

/// Parses all files of `source`. Throws hmrnn::Error for a malformed file with OnBadFile::Stop, two files of one name,
/// and what find and visit throw.
///
/// With `cache_folder` (made if absent), what was parsed is kept there in one file named by ink_content_key, and taken
/// from it the next time. A cache file that is damaged counts as absent; one that cannot be written is no error.
HMRNN_API ParsedInk parse_ink_files(const InkSource& source, OnBadFile on_bad_file,
                                    const std::filesystem::path& cache_folder = {});

/// $HMRNN_CACHE/ink, else ~/.cache/hmrnn/ink; empty if neither variable is set.
HMRNN_API std::filesystem::path default_ink_cache();

}  // namespace hmrnn
