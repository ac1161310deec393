#include "hmrnn/models/given_boundaries.h"

#include <charconv>

#include "hmrnn/error.h"

namespace hmrnn {

namespace {

constexpr int64_t kMaxPeriod = 1'000'000'000;

/// "4,16" → 4, 16, each in [1, kMaxPeriod].
std::vector<int64_t> parse_periods(const std::string& text, const std::string& spec) {
  std::vector<int64_t> out;
  const char *at = text.data(), *end = at + text.size();
  for (;;) {
    int64_t value = 0;
    const auto [next, error] = std::from_chars(at, end, value);
    if (error != std::errc() || value < 1 || value > kMaxPeriod || (next != end && *next != ',')) {
      throw Error("given boundaries " + spec + ": a clock is numbers above 0, as in clock:4,16");
    }
    out.push_back(value);
    if (next == end) return out;
    at = next + 1;
  }
}

}  // namespace

GivenBoundaries::GivenBoundaries(const std::string& spec, int64_t detectors, const std::vector<uint8_t>& symbols)
    : spec_(spec), detectors_(detectors) {
  if (spec.empty()) return;
  if (detectors < 1) throw Error("given boundaries " + spec + ": this model has no boundary detectors");
  const std::string clock = "clock:";
  if (spec.starts_with(clock)) {
    periods_ = parse_periods(spec.substr(clock.size()), spec);
    const bool one = periods_.size() == 1;  // N stands for N, N², …
    while (one && static_cast<int64_t>(periods_.size()) < detectors) {
      const auto next = periods_.back() * periods_.front();
      if (next > kMaxPeriod) throw Error("given boundaries " + spec + ": periods grow beyond all texts; name each");
      periods_.push_back(next);
    }
    if (static_cast<int64_t>(periods_.size()) != detectors) {
      throw Error("given boundaries " + spec + ": names " + std::to_string(periods_.size()) +
                  " layers, the model has " + std::to_string(detectors) + " with boundaries");
    }
    return;
  }
  if (spec != "spaces") throw Error("boundaries '" + spec + "' are neither spaces nor clock:N[,N..]");
  fires_ = torch::zeros({static_cast<int64_t>(symbols.size()), detectors});
  bool any = false;
  for (size_t i = 0; i < symbols.size(); ++i) {
    if (symbols[i] != ' ' && symbols[i] != '\n') continue;
    any = true;
    fires_[static_cast<int64_t>(i)].slice(0, 0, symbols[i] == '\n' ? detectors : 1).fill_(1);
  }
  if (!any) throw Error("given boundaries spaces: the text has neither spaces nor line ends");
}

torch::Tensor GivenBoundaries::operator()(const torch::Tensor& index, int64_t position) const {
  if (!defined()) return {};
  if (fires_.defined()) return fires_.index_select(0, index.flatten()).view({index.size(0), index.size(1), detectors_});
  auto out = torch::zeros({index.size(0), index.size(1), detectors_});
  for (int64_t l = 0; l < detectors_; ++l) {
    for (int64_t t = 0; t < index.size(0); ++t) {
      if ((position + t + 1) % periods_[static_cast<size_t>(l)] == 0) out.select(2, l)[t].fill_(1);
    }
  }
  return out;
}

}  // namespace hmrnn
