#pragma once

#include <torch/types.h>

#include <array>
#include <cstdint>
#include <optional>
#include <vector>

#include "hmrnn/data/ink_corpus.h"
#include "hmrnn/export.h"

namespace hmrnn {

/// Converts a line to the model's input: float32 [N, 3], CPU: standardised x and y, and 1 where the pen is lifted after
/// the point. x and y are offsets from the previous point (0 units for the first point), or coordinates.
HMRNN_API torch::Tensor ink_sequence(const InkLine& line, const InkNormalisation& normalisation);

/// The inverse of ink_sequence: points in units; offsets are added up from (0, 0). `sequence` [N, 3]; a pen value above
/// 0.5 means up; the last point always lifts the pen.
HMRNN_API InkLine ink_line(const torch::Tensor& sequence, const InkNormalisation& normalisation);

/// ink_sequence of the given lines of a corpus.
HMRNN_API std::vector<torch::Tensor> ink_sequences(const InkCorpus& corpus, const std::vector<size_t>& lines,
                                                   const InkNormalisation& normalisation);

/// A window of T steps of B sequences: each point and, as its target, the next point.
struct InkWindow {
  torch::Tensor input;       ///< float32 [T, B, 3], 0 after a sequence's end
  torch::Tensor target;      ///< float32 [T, B, 3]
  torch::Tensor lengths;     ///< int64 [B]: steps of each sequence in this window; 0 where the sequence has ended
  torch::Tensor weight;      ///< float32 [T, B]: 1 at those steps, else 0
  int64_t count = 0;         ///< number of steps with weight 1
  bool first = false;        ///< the sequences start here: the caller resets the carried state
  int64_t begin = 0;         ///< step of the sequences at which this window begins
  std::vector<size_t> rows;  ///< [B] each row's sequence, as an index into those given to InkBatches
};

/// Augmentation by scaling: in each epoch x and y of each line, in units, are multiplied by two random factors, each
/// uniform in [1 - scale, 1 + scale).
struct InkJitter {
  double scale = 0;              ///< in [0, 1); 0: none
  std::array<double, 2> zero{};  ///< standardised x and y of 0 units: -mean / deviation
};

/// Batches of whole sequences of similar length, each padded to its longest sequence and cut into windows of at most
/// `window` steps (0: one window). Every epoch contains every sequence once; the remainder forms a smaller batch.
///
/// With a seed, each epoch shuffles sequences among neighbouring batches (up to 10, whose lengths differ little) and
/// then shuffles the batches. Both depend only on seed and epoch, so that a resume needs no replay. Without a seed,
/// every epoch takes the sequences in order of length.
class HMRNN_API InkBatches {
 public:
  /// `sequences`: float32 [N, 3], N ≥ 2 each. Throws c10::Error for other shapes, for no sequence, a batch below 1, a
  /// window below 0, and a jitter that is out of range or has no seed.
  InkBatches(std::vector<torch::Tensor> sequences, int64_t batch, int64_t window, std::optional<uint64_t> seed,
             const InkJitter& jitter = {});

  int64_t windows() const { return windows_; }  ///< in an epoch; the same in every epoch
  /// The number of sequences.
  int64_t sequences() const { return static_cast<int64_t>(sequences_.size()); }
  int64_t targets() const { return targets_; }  ///< in an epoch: all points except the first of each sequence
  /// Fraction of padding among the steps of epoch 0 (without shuffling, of every epoch).
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
    std::vector<std::vector<size_t>> batches;  ///< indices of sequences
    std::vector<Place> windows;                ///< in the order of the epoch
  };
  int64_t steps(size_t sequence) const { return sequences_[sequence].size(0) - 1; }
  int64_t windows_of(size_t sequence) const;
  Plan make_plan(int64_t epoch) const;
  const Plan& plan(int64_t epoch) const;
  /// Scales x and y of `steps` [N, 3] in place; a sequence has the same two factors throughout an epoch.
  void jitter(torch::Tensor steps, int64_t epoch, size_t sequence) const;

  std::vector<torch::Tensor> sequences_;
  int64_t batch_, window_;
  std::optional<uint64_t> seed_;
  InkJitter jitter_;
  std::vector<std::vector<std::vector<size_t>>> pools_;  ///< batches that may exchange sequences, by length
  int64_t windows_ = 0, targets_ = 0;
  mutable Plan plan_;  ///< of the epoch that was requested last
};

}  // namespace hmrnn
