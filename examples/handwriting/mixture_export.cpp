#include "mixture_export.h"

#include "hmrnn/io/safetensors.h"
#include "hmrnn/nn/mixture_density.h"

void MixtureExport::add(const hmrnn::InkWindow& window, const hmrnn::HandwritingOutput& output) {
  const auto scored = window.weight.ne(0);
  raw_.push_back(output.raw.detach().cpu().index({scored}));
  target_.push_back(window.target.index({scored}));
  const std::vector<int64_t> rows(window.rows.begin(), window.rows.end());
  sequence_.push_back(torch::tensor(rows, torch::kInt64).unsqueeze(0).expand_as(scored).index({scored}));
}

void MixtureExport::write(const std::filesystem::path& path) const {
  const auto mixture = hmrnn::read_mixture(torch::cat(raw_));
  hmrnn::SafeTensors file;
  file.tensors = {{"weight", mixture.log_weight.exp()},
                  {"mean", torch::stack({mixture.mean_x, mixture.mean_y}, -1)},
                  {"deviation", torch::stack({mixture.log_deviation_x, mixture.log_deviation_y}, -1).exp()},
                  {"correlation", mixture.correlation},
                  {"pen_up", torch::sigmoid(mixture.pen_logit)},
                  {"target", torch::cat(target_)},
                  {"sequence", torch::cat(sequence_)}};
  hmrnn::write_safetensors(path, file);
}
