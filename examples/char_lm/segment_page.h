#pragma once

#include <string>
#include <vector>

#include "boundary_text.h"
#include "hmrnn/models/char_lm_checkpoint.h"

/// The lines read by `segment`.
struct SegmentedText {
  std::vector<SegmentedLine> lines;
  std::vector<std::vector<std::string>> operations;  ///< of each line with its line end: one string per layer
};

/// A page that shows the segments of a text, without training and figures.
std::string segment_page(const SegmentedText& text, const hmrnn::CharLMCheckpoint& checkpoint, const std::string& run);
