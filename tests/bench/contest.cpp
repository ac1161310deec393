#include "bench/contest.h"

#include <ATen/Parallel.h>
#include <fmt/format.h>

#include <algorithm>

#include "bench/machine.h"

namespace bench {

namespace {

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  const auto middle = values.size() / 2;
  return values.size() % 2 ? values[middle] : (values[middle - 1] + values[middle]) / 2;
}

void raise_ceiling(const std::vector<Contestant>& contestants, Ceiling& ceiling) {
  std::vector<torch::ScalarType> seen;
  for (const auto& contestant : contestants) {
    if (std::find(seen.begin(), seen.end(), contestant.dtype) != seen.end()) continue;
    seen.push_back(contestant.dtype);
    ceiling[contestant.dtype] = std::max(ceiling[contestant.dtype], gemm_ceiling(contestant.dtype));
  }
}

const Row& baseline(const std::vector<Row>& rows, torch::ScalarType dtype) {
  const auto found = std::find_if(rows.begin(), rows.end(), [&](const Row& row) {
    return row.contestant.baseline && row.contestant.dtype == dtype;
  });
  TORCH_CHECK(found != rows.end(), "benchmark: no baseline in ", dtype);
  return *found;
}

}  // namespace

std::string Contestant::label() const {
  auto text = fmt::format("{} {}x{} B{} T{}", name, kLayers, size.units, size.batch, size.window);
  if (rates) text += fmt::format(" ({},{})", (*rates)[0], (*rates)[1]);
  text += dtype == torch::kBFloat16 ? " bfloat16" : " float32";
  if (layer_norm) text += *layer_norm ? " norm" : " plain";
  return text;
}

std::vector<Row> contest(const std::vector<Contestant>& contestants, int rounds, int threads, Ceiling& ceiling) {
  at::set_num_threads(threads);
  raise_ceiling(contestants, ceiling);
  std::vector<Row> rows;
  for (const auto& contestant : contestants) {
    rows.push_back({.contestant = contestant, .threads = threads, .peak_bytes = peak_memory(contestant.run)});
  }
  std::vector<std::vector<double>> times(contestants.size());
  for (int round = 0; round < rounds; ++round) {
    for (size_t i = 0; i < contestants.size(); ++i) times[i].push_back(seconds(contestants[i].run));
  }
  raise_ceiling(contestants, ceiling);

  for (size_t i = 0; i < rows.size(); ++i) {
    const auto time = median(times[i]);
    rows[i].characters_per_second = contestants[i].characters / time;
    rows[i].gflops = 1e-9 * contestants[i].flops / time;
    rows[i].ceiling_share = rows[i].gflops / ceiling.at(contestants[i].dtype);
  }
  for (auto& row : rows) {
    row.ratio_fp32 = row.characters_per_second / baseline(rows, torch::kFloat32).characters_per_second;
    row.ratio_same_dtype = row.characters_per_second / baseline(rows, row.contestant.dtype).characters_per_second;
  }
  return rows;
}

}  // namespace bench
