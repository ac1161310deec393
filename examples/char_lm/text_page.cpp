#include "text_page.h"

#include <algorithm>

#include "hmrnn/analysis/operations.h"

namespace {

constexpr double kMostBits = 12.75;  // two hexadecimal digits, in steps of 1/20

/// [T, L] → [cells, L]: the maximum over each cell's bytes.
torch::Tensor greatest(const std::vector<TextCell>& cells, const torch::Tensor& values) {
  const auto layers = max_by_cell(cells, values);
  auto out = torch::empty({static_cast<int64_t>(cells.size()), static_cast<int64_t>(layers.size())});
  auto at = out.accessor<float, 2>();
  for (size_t l = 0; l < layers.size(); ++l) {
    for (size_t i = 0; i < cells.size(); ++i) at[static_cast<int64_t>(i)][static_cast<int64_t>(l)] = layers[l][i];
  }
  return out;
}

/// The most active operation of each cell's bytes: FLUSH before UPDATE before COPY.
std::string operations_of(const std::vector<TextCell>& cells, const std::string& letters) {
  std::string out;
  for (const auto& cell : cells) {
    const auto of_cell = letters.substr(cell.begin, cell.end - cell.begin);
    out += of_cell.find('F') != std::string::npos ? 'F' : of_cell.find('U') != std::string::npos ? 'U' : 'C';
  }
  return out;
}

torch::Tensor summed(const std::vector<TextCell>& cells, const torch::Tensor& values) {
  auto out = torch::zeros({static_cast<int64_t>(cells.size())});
  for (size_t i = 0; i < cells.size(); ++i) {
    out[static_cast<int64_t>(i)] =
        values.slice(0, static_cast<int64_t>(cells[i].begin), static_cast<int64_t>(cells[i].end)).sum();
  }
  return out;
}

}  // namespace

Json cells_json(const std::vector<TextCell>& cells) {
  Json out = Json::array();
  for (const auto& cell : cells) out.push_back(cell.shown == "\u240a" ? "\n" : cell.shown);
  return out;
}

Json signals_json(const std::vector<TextCell>& cells, const TextSignals& signals) {
  Json z = Json::array(), probability = Json::array(), operations = Json::array();
  for (const auto& layer : max_by_cell(cells, signals.z)) {
    std::string marks;
    for (const auto value : layer) marks += hmrnn::fired(value) ? '1' : '0';
    z.push_back(marks);
  }
  const auto sure = greatest(cells, signals.probability);
  for (int64_t l = 0; l < sure.size(1); ++l) probability.push_back(as_hex(sure.select(1, l), 1));
  for (const auto& letters : signals.operations) operations.push_back(operations_of(cells, letters));
  Json out = {{"z", z}, {"probability", probability}, {"operations", operations}};
  if (signals.bits.defined()) {
    out["bits"] = as_hex(summed(cells, signals.bits), kMostBits);
    out["bits_most"] = kMostBits;
  }
  if (signals.norms.defined()) out["norms"] = columns_as_hex(greatest(cells, signals.norms), out["norms_most"]);
  return out;
}
