#include "hmrnn/data/ink_batches.h"

#include <algorithm>
#include <numeric>

#include "hmrnn/data/split_mix.h"

namespace hmrnn {

namespace {
constexpr size_t kPool = 10;  // neighbouring batches that exchange sequences
}

torch::Tensor ink_sequence(const InkLine& line, const InkNormalisation& normalisation) {
  auto out = torch::empty({static_cast<int64_t>(line.points.size()), 3});
  auto* to = out.data_ptr<float>();
  const bool offsets = normalisation.coordinates == InkCoordinates::Offsets;
  InkPoint before = line.points.empty() ? InkPoint{} : line.points.front();
  for (const auto& p : line.points) {
    const double x = offsets ? static_cast<double>(p.x) - before.x : p.x;
    const double y = offsets ? static_cast<double>(p.y) - before.y : p.y;
    *to++ = static_cast<float>((x - normalisation.mean[0]) / normalisation.deviation[0]);
    *to++ = static_cast<float>((y - normalisation.mean[1]) / normalisation.deviation[1]);
    *to++ = p.pen_up ? 1.0F : 0.0F;
    before = p;
  }
  return out;
}

InkLine ink_line(const torch::Tensor& sequence, const InkNormalisation& normalisation) {
  TORCH_CHECK(sequence.dim() == 2 && sequence.size(1) == 3, "ink_line: sequence must have shape [N, 3], got ",
              sequence.sizes());
  const auto values = sequence.to(torch::kCPU, torch::kFloat64).contiguous();
  const auto* from = values.data_ptr<double>();
  InkLine out;
  double x = 0, y = 0;
  for (int64_t i = 0; i < values.size(0); ++i, from += 3) {
    const double dx = from[0] * normalisation.deviation[0] + normalisation.mean[0];
    const double dy = from[1] * normalisation.deviation[1] + normalisation.mean[1];
    const bool offsets = normalisation.coordinates == InkCoordinates::Offsets;
    x = offsets ? x + dx : dx;
    y = offsets ? y + dy : dy;
    out.points.push_back({static_cast<float>(x), static_cast<float>(y), from[2] > 0.5});
  }
  if (!out.points.empty()) out.points.back().pen_up = true;
  return out;
}

std::vector<torch::Tensor> ink_sequences(const InkCorpus& corpus, const std::vector<size_t>& lines,
                                         const InkNormalisation& normalisation) {
  std::vector<torch::Tensor> out;
  out.reserve(lines.size());
  for (const auto index : lines) out.push_back(ink_sequence(corpus.lines.at(index), normalisation));
  return out;
}

InkBatches::InkBatches(std::vector<torch::Tensor> sequences, int64_t batch, int64_t window,
                       std::optional<uint64_t> seed, const InkJitter& jitter)
    : sequences_(std::move(sequences)), batch_(batch), window_(window), seed_(seed), jitter_(jitter) {
  TORCH_CHECK(jitter.scale >= 0 && jitter.scale < 1 && (jitter.scale == 0 || seed),
              "InkBatches: a jitter's scale must lie in [0, 1), and it needs a seed; got ", jitter.scale);
  TORCH_CHECK(!sequences_.empty(), "InkBatches: there is no sequence");
  TORCH_CHECK(batch_ >= 1 && window_ >= 0, "InkBatches: batch must be at least 1 and window at least 0, got ", batch_,
              " and ", window_);
  for (auto& s : sequences_) {
    TORCH_CHECK(s.dim() == 2 && s.size(0) >= 2 && s.size(1) == 3 && s.scalar_type() == torch::kFloat32,
                "InkBatches: a sequence must be float32 [N, 3] with N at least 2, got ", s.scalar_type(), " ",
                s.sizes());
    s = s.contiguous();
    targets_ += s.size(0) - 1;
  }
  std::vector<size_t> order(sequences_.size());
  std::iota(order.begin(), order.end(), size_t{0});
  if (seed_) SplitMix64(*seed_).shuffle(order);  // sequences of equal length get a random order
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return steps(a) < steps(b); });

  // The smaller batch comes first: there, among the shortest sequences, padding costs least.
  std::vector<std::vector<size_t>> batches;
  const auto size = static_cast<size_t>(batch_);
  for (size_t begin = 0, end = order.size() % size; begin < order.size(); begin = end, end += size) {
    if (end > begin)
      batches.emplace_back(order.begin() + static_cast<std::ptrdiff_t>(begin),
                           order.begin() + static_cast<std::ptrdiff_t>(end));
  }
  // Batches exchange sequences only if all their sequences need the same number of windows: so every epoch has the same
  // number of windows.
  for (auto& members : batches) {
    const auto fits = [&](const std::vector<std::vector<size_t>>& pool) {
      return pool.size() < kPool && pool.front().size() == members.size() &&
             windows_of(pool.front().front()) == windows_of(members.back());
    };
    windows_ += windows_of(members.back());
    if (pools_.empty() || !fits(pools_.back())) pools_.emplace_back();
    pools_.back().push_back(std::move(members));
  }
}

int64_t InkBatches::windows_of(size_t sequence) const {
  return window_ == 0 ? 1 : (steps(sequence) + window_ - 1) / window_;
}

InkBatches::Plan InkBatches::make_plan(int64_t epoch) const {
  Plan out;
  out.epoch = epoch;
  SplitMix64 random(seed_.value_or(0) + 0x632be59bd9b4e019U * (static_cast<uint64_t>(epoch) + 1));
  for (const auto& pool : pools_) {
    if (!seed_) {
      out.batches.insert(out.batches.end(), pool.begin(), pool.end());
      continue;
    }
    std::vector<size_t> members;
    for (const auto& each : pool) members.insert(members.end(), each.begin(), each.end());
    random.shuffle(members);
    auto next = members.begin();
    for (const auto& each : pool) {
      const auto end = next + static_cast<std::ptrdiff_t>(each.size());
      out.batches.emplace_back(next, end);
      next = end;
    }
  }
  std::vector<size_t> order(out.batches.size());
  std::iota(order.begin(), order.end(), size_t{0});
  if (seed_) random.shuffle(order);
  for (const auto index : order) {
    int64_t count = 0;
    for (const auto s : out.batches[index]) count = std::max(count, windows_of(s));
    for (int64_t w = 0; w < count; ++w) out.windows.push_back({index, w});
  }
  return out;
}

const InkBatches::Plan& InkBatches::plan(int64_t epoch) const {
  if (!seed_) epoch = 0;
  if (plan_.epoch != epoch) plan_ = make_plan(epoch);
  return plan_;
}

void InkBatches::jitter(torch::Tensor steps, int64_t epoch, size_t sequence) const {
  if (jitter_.scale == 0) return;
  // The factors depend only on seed, epoch and sequence: a resume needs no replay, and all windows of a line agree.
  SplitMix64 random(*seed_ + 0x632be59bd9b4e019U * (static_cast<uint64_t>(epoch) + 1));
  SplitMix64 own(random.next() + 0x9e3779b97f4a7c15U * (static_cast<uint64_t>(sequence) + 1));
  for (int64_t k = 0; k < 2; ++k) {
    const double factor = own.between(1 - jitter_.scale, 1 + jitter_.scale),
                 zero = jitter_.zero[static_cast<size_t>(k)];
    steps.select(1, k).mul_(factor).add_(zero * (1 - factor));
  }
}

double InkBatches::padding() const {
  int64_t all = 0;
  for (const auto& members : plan(0).batches) {
    int64_t longest = 0;
    for (const auto s : members) longest = std::max(longest, steps(s));
    all += longest * static_cast<int64_t>(members.size());
  }
  return 1 - static_cast<double>(targets_) / static_cast<double>(all);
}

InkWindow InkBatches::window(int64_t epoch, int64_t i) const {
  TORCH_CHECK_INDEX(epoch >= 0 && i >= 0 && i < windows_, "InkBatches: window ", i, " of ", windows_, " of epoch ",
                    epoch);
  const auto& current = plan(epoch);
  const auto place = current.windows[static_cast<size_t>(i)];
  InkWindow out;
  out.rows = current.batches[place.batch];
  out.first = place.window == 0;
  out.begin = place.window * window_;
  const auto rows = static_cast<int64_t>(out.rows.size());
  int64_t longest = 0;
  for (const auto s : out.rows) longest = std::max(longest, steps(s));
  const auto left = longest - out.begin;
  const auto length = window_ == 0 ? left : std::min(window_, left);
  out.input = torch::zeros({length, rows, 3});
  out.target = torch::zeros({length, rows, 3});
  out.weight = torch::zeros({length, rows});
  out.lengths = torch::empty({rows}, torch::kInt64);
  for (int64_t b = 0; b < rows; ++b) {
    const auto s = out.rows[static_cast<size_t>(b)];
    const auto live = std::clamp<int64_t>(steps(s) - out.begin, 0, length);
    out.lengths[b] = live;
    out.count += live;
    if (live == 0) continue;
    const auto points = jitter_.scale == 0 ? sequences_[s].narrow(0, out.begin, live + 1)
                                           : sequences_[s].narrow(0, out.begin, live + 1).clone();
    jitter(points, epoch, s);
    out.input.select(1, b).narrow(0, 0, live).copy_(points.narrow(0, 0, live));
    out.target.select(1, b).narrow(0, 0, live).copy_(points.narrow(0, 1, live));
    out.weight.select(1, b).narrow(0, 0, live).fill_(1);
  }
  return out;
}

}  // namespace hmrnn
