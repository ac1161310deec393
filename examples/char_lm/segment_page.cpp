#include "segment_page.h"

#include "text_page.h"

std::string segment_page(const SegmentedText& text, const hmrnn::CharLMCheckpoint& checkpoint, const std::string& run) {
  // Joins the lines to one text; the cell of a line end shows no boundary.
  std::string whole;
  std::vector<torch::Tensor> z, probability;
  TextSignals signals;
  signals.operations.resize(text.operations.at(0).size());
  for (size_t i = 0; i < text.lines.size(); ++i) {
    const auto& line = text.lines[i];
    whole += line.text + '\n';
    const auto end = torch::zeros({1, line.z.size(1)});
    z.insert(z.end(), {line.z, end});
    probability.insert(probability.end(), {line.probability, end});
    for (size_t l = 0; l < signals.operations.size(); ++l) {
      signals.operations[l] += text.operations[i][l];
      signals.operations[l].resize(whole.size(), 'C');  // a line without a line end
    }
  }
  signals.z = torch::cat(z);
  signals.probability = torch::cat(probability);
  const auto cells = text_cells(whole);
  const auto name = run_names({run}).at(0);
  Json data = {{"title", "Segments that " + name + " finds"}, {"kind", "text"}, {"cells", cells_json(cells)}};
  data["runs"] = Json::array();
  data["runs"].push_back(
      {{"name", name}, {"model", model_json(checkpoint)}, {"signals", signals_json(cells, signals)}});
  return report_page(data);
}
