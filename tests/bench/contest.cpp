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
    ceiling[contestant.dtype] = std::max(ceiling[contestant.dtype], gemm_ceiling(contestant.dtype, contestant.device));
  }
}

/// Seconds per run, over several consecutive runs.
double time_of(const Contestant& contestant, int repeats) {
  const hmrnn::GraphStream stream(contestant.runner ? contestant.runner->graph() : nullptr);
  const auto work = [&] {
    for (int i = 0; i < repeats; ++i) contestant.run();
  };
  return seconds(work, contestant.device) / repeats;
}

/// Runs it as often as it needs to launch and (with a graph) to capture; returns how many runs take a fifth of a
/// second.
int warm_up(const Contestant& contestant) {
  time_of(contestant, static_cast<int>(hmrnn::WindowRunner::kWarmUp) + 2);
  return std::clamp(static_cast<int>(0.2 / time_of(contestant, 2)), 1, 1000);
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
  if (!launch.empty()) text += " " + launch;
  return text;
}

void Contestant::use_graph() {
  launch = "graph";
  runner = std::make_shared<hmrnn::WindowRunner>(run, hmrnn::make_window_graph(device));
  run = [steps = runner] { steps->run({1}); };
}

std::vector<Row> contest(const std::vector<Contestant>& contestants, int rounds, const std::vector<int>& threads,
                         Ceilings& ceilings) {
  const auto raise_ceilings = [&] {
    for (const int n : threads) {
      at::set_num_threads(n);
      raise_ceiling(contestants, ceilings[n]);
    }
  };
  raise_ceilings();
  std::vector<std::vector<Row>> rows;  // by number of threads
  std::vector<std::vector<int>> repeats;
  for (const int n : threads) {
    at::set_num_threads(n);
    auto& of_n = rows.emplace_back();
    auto& times = repeats.emplace_back();
    for (const auto& contestant : contestants) {
      const auto peak = peak_memory(contestant.run, contestant.device);
      of_n.push_back({.contestant = contestant, .threads = n, .peak_bytes = peak});
      times.push_back(contestant.device.is_cuda() ? warm_up(contestant) : 1);
    }
  }
  std::vector<std::vector<std::vector<double>>> times(threads.size());
  for (auto& of_n : times) of_n.resize(contestants.size());
  for (int round = 0; round < rounds; ++round) {
    for (size_t i = 0; i < contestants.size(); ++i) {
      for (size_t n = 0; n < threads.size(); ++n) {
        at::set_num_threads(threads[n]);
        if (threads.size() > 1) contestants[i].run();  // starts the threads
        times[n][i].push_back(time_of(contestants[i], repeats[n][i]));
      }
    }
  }
  raise_ceilings();

  std::vector<Row> out;
  for (size_t n = 0; n < threads.size(); ++n) {
    for (size_t i = 0; i < contestants.size(); ++i) {
      auto& row = rows[n][i];
      const auto time = median(times[n][i]);
      row.characters_per_second = contestants[i].characters / time;
      row.gflops = 1e-9 * contestants[i].flops / time;
      row.ceiling_share = row.gflops / ceilings.at(threads[n]).at(contestants[i].dtype);
      if (n > 0) row.scaling = row.characters_per_second / rows[0][i].characters_per_second;
    }
    for (auto& row : rows[n]) {
      row.ratio_fp32 = row.characters_per_second / baseline(rows[n], torch::kFloat32).characters_per_second;
      row.ratio_same_dtype = row.characters_per_second / baseline(rows[n], row.contestant.dtype).characters_per_second;
    }
    out.insert(out.end(), rows[n].begin(), rows[n].end());
  }
  return out;
}

std::vector<Profile> profile(const std::vector<Contestant>& contestants, int threads) {
  at::set_num_threads(threads);
  std::vector<Profile> out;
  for (const auto& contestant : contestants) {
    const hmrnn::GraphStream stream(contestant.runner ? contestant.runner->graph() : nullptr);
    const bool on_gpu = contestant.device.is_cuda();
    for (int64_t i = 0; i < (on_gpu ? hmrnn::WindowRunner::kWarmUp + 2 : 1); ++i) contestant.run();
    out.push_back({contestant, times_by_name(contestant.run, on_gpu ? 3 : 1, contestant.device)});
  }
  return out;
}

}  // namespace bench
