#pragma once

#include <string>
#include <vector>

#include "boundary_text.h"
#include "hmrnn/models/char_lm_checkpoint.h"

/// What `segment` read, line by line.
struct SegmentedText {
  std::vector<SegmentedLine> lines;
  std::vector<std::vector<std::string>> operations;  ///< of each line and its end, a string for each layer
};

/// The page of a text alone: its segments, without training and figures.
std::string segment_page(const SegmentedText& text, const hmrnn::CharLMCheckpoint& checkpoint, const std::string& run);
