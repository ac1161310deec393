#include "examples/program/initial_weights.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>

#include "hmrnn/error.h"

namespace {

/// Whether "--units 512" means these sizes: 512 units in every layer.
bool means_sizes(const std::string& units, const std::string& sizes) {
  const auto all = parse_sizes("units", sizes, std::numeric_limits<int64_t>::max());
  return std::all_of(all.begin(), all.end(), [&](int64_t d) { return std::to_string(d) == units; });
}

}  // namespace

void take_sizes_over(const OptionMap& sizes, const std::string& path, OptionMap& map) {
  for (const auto& [name, value] : sizes) {
    const auto given = map.find(name);
    if (given != map.end() && given->second != value && !(name == "units" && means_sizes(given->second, value))) {
      throw hmrnn::Error(
          fmt::format("--{} {} contradicts --init-from: the model in {} has {}", name, given->second, path, value));
    }
    map[name] = value;
  }
}
