#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "hmrnn/data/ink_line.h"
#include "hmrnn/export.h"

namespace hmrnn {

/// A set of lines, split into parts.
struct InkSplits {
  std::map<std::string, std::vector<size_t>> parts;  ///< part → indices of its lines, ascending
  size_t divided_forms = 0;                          ///< forms with lines in more than one part
  size_t unlisted = 0;                               ///< lines in no part (Graves' lists omit 16 files)
};

/// train, valid and test in the paper's proportion 10,465 : 581 : 582 (exactly these counts if `lines` has as many).
/// Forms are shuffled with `seed`. test, then valid, receives a subset of whole forms that fills the part exactly; only
/// if no subset does, one more form is divided. Equal lines give equal parts on every machine. Throws hmrnn::Error if
/// there are fewer than 3 lines.
HMRNN_API InkSplits split_as_the_paper(const std::vector<InkLine>& lines, uint64_t seed);

/// The same counts, line by line: lines are shuffled with `seed`, so one form may have lines in all parts. Throws
/// hmrnn::Error if there are fewer than 3 lines.
HMRNN_API InkSplits split_by_line(const std::vector<InkLine>& lines, uint64_t seed);

/// Graves' parts (2013) from the form lists in `folder`: train (trainset.txt), valid (testset_v.txt), valid2
/// (testset_t.txt) and test (testset_f.txt). Throws hmrnn::Error naming a list that is missing, a form that two lists
/// contain, and a part without lines.
HMRNN_API InkSplits split_as_graves(const std::vector<InkLine>& lines, const std::filesystem::path& folder);

}  // namespace hmrnn
