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

/// The parts of a set of lines.
struct InkSplits {
  std::map<std::string, std::vector<size_t>> parts;  ///< part → indices of lines, ascending
  size_t divided_forms = 0;                          ///< forms with lines in more than one part
  size_t unlisted = 0;                               ///< lines in no part (Graves' lists leave 16 files out)
};

/// train, valid and test in the paper's proportion 10,465 : 581 : 582, which is exactly these counts when `lines` are
/// as many. Forms are shuffled with `seed`; test, then valid, take whole forms, of which some are chosen that fill the
/// part exactly; only where no choice does, one form more is divided. The same lines give the same parts on every
/// machine. Throws hmrnn::Error if there are fewer than 3 lines.
HMRNN_API InkSplits split_as_the_paper(const std::vector<InkLine>& lines, uint64_t seed);

/// The same counts, each line by itself: lines are shuffled with `seed`, so that one form may have lines in all parts.
/// Throws hmrnn::Error if there are fewer than 3 lines.
HMRNN_API InkSplits split_by_line(const std::vector<InkLine>& lines, uint64_t seed);

/// Graves' parts (2013) from the form lists in `folder`: train (trainset.txt), valid (testset_v.txt), valid2
/// (testset_t.txt) and test (testset_f.txt). Throws hmrnn::Error naming a list that is missing, a form that stands in
/// two lists, and a part without lines.
HMRNN_API InkSplits split_as_graves(const std::vector<InkLine>& lines, const std::filesystem::path& folder);

}  // namespace hmrnn
