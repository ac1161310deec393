#include "examples/program/memory.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "hmrnn/error.h"
#include "hmrnn/io/machine_limits.h"

namespace {

constexpr int64_t kFloat = 4;           // bytes
constexpr int64_t kStepsOfALine = 300;  // assumed window if it is a whole line, whose length is not known yet

std::string bytes_text(int64_t bytes) {
  const auto value = static_cast<double>(bytes);
  if (value >= 1e9) return fmt::format("{:.2f} GB", value / 1e9);
  return fmt::format("{:.1f} MB", value / 1e6);
}

}  // namespace

LeastMemory least_memory(const CommonSettings& settings, int64_t input_size, int64_t symbols, int64_t outputs,
                         torch::Device device) {
  int64_t weights = symbols * input_size, units = 0, below = input_size;
  for (size_t l = 0; l < settings.units.size(); ++l) {
    const auto d = settings.units[l];
    const bool above = settings.core == hmrnn::Core::HMLSTM && l + 1 < settings.units.size();
    weights += 4 * d * (d + below + (above ? settings.units[l + 1] : 0));
    units += d;
    below = d;
  }
  weights += settings.output_embedding * (units + outputs);
  LeastMemory out;
  out.weights = weights * kFloat * (device.is_cpu() ? 5 : 2);
  if (device.is_cpu()) {
    const auto steps = settings.window > 0 ? settings.window : kStepsOfALine;
    const auto rows = settings.batch / (settings.trainer.group ? settings.trainer.group->size() : 1);
    out.window = steps * rows * (2 * units + settings.output_embedding + outputs) * kFloat;
  }
  return out;
}

void require_memory(const CommonSettings& settings, int64_t input_size, int64_t symbols, int64_t outputs,
                    torch::Device device) {
  const auto least = least_memory(settings, input_size, symbols, outputs, device);
  const auto available = hmrnn::available_memory();
  if (!available || least.weights + least.window <= *available) return;
  throw hmrnn::Error(fmt::format(
      "not enough memory: units {}, batch {}, window {} need at least {} (weights and what goes with them {}, a window "
      "{}); this process can have {}",
      fmt::join(settings.units, ","), settings.batch, settings.window, bytes_text(least.weights + least.window),
      bytes_text(least.weights), bytes_text(least.window), bytes_text(*available)));
}
