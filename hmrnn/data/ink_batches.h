#pragma once

#include <torch/types.h>

#include <array>
#include <cstdint>
#include <optional>
#include <vector>

#include "hmrnn/data/ink_corpus.h"
#include "hmrnn/export.h"

namespace hmrnn {

/// A line as a model sees it: float32 [N, 3], CPU, of standardised x and y (offsets from the point before, for the
/// first point 0 units; or coordinates) and 1 where the pen is lifted after the point.
HMRNN_API torch::Tensor ink_sequence(const InkLine& line, const InkNormalisation& normalisation);

/// The way back: points in units, the first one's offset counted from (0, 0). `sequence` [N, 3]; a pen value above 0.5
/// is up; the last point lifts the pen in any case.
HMRNN_API InkLine ink_line(const torch::Tensor& sequence, const InkNormalisation& normalisation);

/// The sequences of some lines of a corpus.
HMRNN_API std::vector<torch::Tensor> ink_sequences(const InkCorpus& corpus, const std::vector<size_t>& lines,
                                                   const InkNormalisation& normalisation);

/// Some steps of B sequences side by side: each point and, as its target, the point after it.
struct InkWindow {
  torch::Tensor input;       ///< float32 [T, B, 3], 0 past a sequence's end
  torch::Tensor target;      ///< float32 [T, B, 3]
  torch::Tensor lengths;     ///< int64 [B]: steps of this window that belong to each sequence; 0 where it has ended
  torch::Tensor weight;      ///< float32 [T, B]: 1 at those steps, else 0
  int64_t count = 0;         ///< the number of those steps
  bool first = false;        ///< the sequences start here: the carried state must be reset
  int64_t begin = 0;         ///< the sequences' step that is this window's step 0
  std::vector<size_t> rows;  ///< which sequence each row is, as an index into those given to InkBatches
};

/// Changes of size: in each epoch x and y of a line, in units, are multiplied by factors of their own, uniform in
/// [1 - scale, 1 + scale).
struct InkJitter {
  double scale = 0;              ///< in [0, 1); 0: none
  std::array<double, 2> zero{};  ///< what 0 units are as standardised x and y: -mean / deviation
};

/// Batches of whole sequences of similar length, padded to the longest of each batch, and cut into windows of at most
/// `window` steps if that is not 0. Every sequence is in one batch of every epoch; a remainder makes a smaller batch.
///
/// With a seed, each epoch mixes sequences among neighbouring batches (up to 10, over which lengths differ little) and
/// takes the batches in another order; both depend on seed and epoch alone, so that a resume needs no replay. Without
/// one the order is that of the lengths, in every epoch.
class HMRNN_API InkBatches {
 public:
  /// `sequences` float32 [N, 3], N ≥ 2 each. Throws c10::Error for other shapes, no sequence, a batch below 1 or a
  /// window below 0, or a jitter out of range or without a seed.
  InkBatches(std::vector<torch::Tensor> sequences, int64_t batch, int64_t window, std::optional<uint64_t> seed,
             const InkJitter& jitter = {});

  int64_t windows() const { return windows_; }  ///< of an epoch; the same in all of them
  /// The number of sequences.
  int64_t sequences() const { return static_cast<int64_t>(sequences_.size()); }
  int64_t targets() const { return targets_; }  ///< of all sequences: all points but each first
  /// Share of an epoch's steps that is padding (of epoch 0; without mixing it is the same in all).
  double padding() const;

  /// Window `i` of an epoch, 0 ≤ i < windows().
  InkWindow window(int64_t epoch, int64_t i) const;

 private:
  struct Place {
    size_t batch;
    int64_t window;
  };
  struct Plan {
    int64_t epoch = -1;
    std::vector<std::vector<size_t>> batches;  ///< sequences
    std::vector<Place> windows;                ///< in the order they are taken
  };
  int64_t steps(size_t sequence) const { return sequences_[sequence].size(0) - 1; }
  int64_t windows_of(size_t sequence) const;
  Plan make_plan(int64_t epoch) const;
  const Plan& plan(int64_t epoch) const;
  /// Changes the x and y of steps [N, 3] of a sequence in place, in the same way at all steps of an epoch.
  void jitter(torch::Tensor steps, int64_t epoch, size_t sequence) const;

  std::vector<torch::Tensor> sequences_;
  int64_t batch_, window_;
  std::optional<uint64_t> seed_;
  InkJitter jitter_;
  std::vector<std::vector<std::vector<size_t>>> pools_;  ///< batches that may be mixed, by length
  int64_t windows_ = 0, targets_ = 0;
  mutable Plan plan_;  ///< of the epoch asked for last
};

}  // namespace hmrnn
