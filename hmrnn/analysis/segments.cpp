#include "hmrnn/analysis/segments.h"

#include <algorithm>
#include <cmath>
#include <stdexcept>

namespace hmrnn {

namespace {

/// Calls f(begin, end) for each segment.
template <class F>
void each_segment(const std::vector<uint8_t>& boundary, F f) {
  size_t begin = 0;
  for (size_t i = 0; i < boundary.size(); ++i) {
    if (boundary[i] == 0) continue;
    f(begin, i + 1);
    begin = i + 1;
  }
}

}  // namespace

void SegmentLengths::add(const std::vector<uint8_t>& boundary) {
  each_segment(boundary, [&](size_t begin, size_t end) { ++histogram[static_cast<int64_t>(end - begin)]; });
}

int64_t SegmentLengths::count() const {
  int64_t sum = 0;
  for (const auto& [length, number] : histogram) sum += number;
  return sum;
}

double SegmentLengths::mean() const {
  double sum = 0;
  for (const auto& [length, number] : histogram) sum += static_cast<double>(length * number);
  return histogram.empty() ? 0 : sum / static_cast<double>(count());
}

double SegmentLengths::deviation() const {
  const double middle = mean();
  double sum = 0;
  for (const auto& [length, number] : histogram) {
    sum += std::pow(static_cast<double>(length) - middle, 2) * static_cast<double>(number);
  }
  return histogram.empty() ? 0 : std::sqrt(sum / static_cast<double>(count()));
}

int64_t SegmentLengths::median() const {
  const auto half = (count() + 1) / 2;
  int64_t sum = 0;
  for (const auto& [length, number] : histogram) {
    if ((sum += number) >= half) return length;
  }
  return 0;
}

std::vector<std::pair<std::string, int64_t>> frequent_segments(std::string_view text,
                                                               const std::vector<uint8_t>& boundary, size_t count) {
  if (text.size() != boundary.size()) throw std::invalid_argument("segments: boundaries are not as long as the text");
  std::map<std::string_view, int64_t> found;
  each_segment(boundary, [&](size_t begin, size_t end) { ++found[text.substr(begin, end - begin)]; });
  std::vector<std::pair<std::string, int64_t>> out(found.begin(), found.end());
  std::stable_sort(out.begin(), out.end(), [](const auto& a, const auto& b) { return a.second > b.second; });
  if (out.size() > count) out.resize(count);
  return out;
}

}  // namespace hmrnn
