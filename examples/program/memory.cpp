#include "examples/program/memory.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "hmrnn/error.h"
#include "hmrnn/io/machine_limits.h"

namespace {

constexpr double kFloat = 4;            // bytes
constexpr int64_t kStepsOfALine = 300;  // assumed window if it is a whole line, whose length is not known yet

std::string bytes_text(double bytes) {
  if (bytes >= 1e9) return fmt::format("{:.2f} GB", bytes / 1e9);
  return fmt::format("{:.1f} MB", bytes / 1e6);
}

}  // namespace

LeastMemory least_memory(const CommonSettings& settings, int64_t input_size, int64_t symbols, int64_t outputs,
                         int64_t evaluated, torch::Device device) {
  const auto features = static_cast<double>(input_size);
  double weights = static_cast<double>(symbols) * features, units = 0, below = features;
  for (size_t l = 0; l < settings.units.size(); ++l) {
    const auto d = static_cast<double>(settings.units[l]);
    const bool above = settings.core == hmrnn::Core::HMLSTM && l + 1 < settings.units.size();
    weights += 4 * d * (d + below + (above ? static_cast<double>(settings.units[l + 1]) : 0));
    units += d;
    below = d;
  }
  const auto embedding = static_cast<double>(settings.output_embedding), results = static_cast<double>(outputs);
  weights += embedding * (units + results);
  LeastMemory out;
  out.weights = weights * kFloat * (device.is_cpu() ? 5 : 2);
  if (device.is_cpu()) {
    const auto steps = settings.window > 0 ? settings.window : kStepsOfALine;
    const auto rows = settings.batch / (settings.trainer.group ? settings.trainer.group->size() : 1);
    out.window = static_cast<double>(steps) * static_cast<double>(rows) * (2 * units + embedding + results) * kFloat;
    out.evaluation = static_cast<double>(evaluated) * (units + embedding + results) * kFloat;
  }
  return out;
}

void require_memory(const CommonSettings& settings, int64_t input_size, int64_t symbols, int64_t outputs,
                    int64_t evaluated, const std::string& hint, torch::Device device) {
  const auto least = least_memory(settings, input_size, symbols, outputs, evaluated, device);
  const auto available = hmrnn::available_memory();
  const double needed = least.weights + std::max(least.window, least.evaluation);
  if (!available || needed <= static_cast<double>(*available)) return;
  const bool by_evaluation = least.evaluation > least.window;
  throw hmrnn::Error(fmt::format(
      "not enough memory: units {}, batch {}, window {} need at least {} (weights and what goes with them {}, a "
      "window{} {}{}); this process can have {}",
      fmt::join(settings.units, ","), settings.batch, settings.window, bytes_text(needed), bytes_text(least.weights),
      by_evaluation ? " of an evaluation" : "", bytes_text(needed - least.weights),
      by_evaluation && !hint.empty() ? "; " + hint : "", bytes_text(static_cast<double>(*available))));
}
