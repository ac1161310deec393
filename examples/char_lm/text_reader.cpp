#include "text_reader.h"

#include "hmrnn/analysis/boundary_probability.h"
#include "hmrnn/run/random_state.h"

namespace {

constexpr int64_t kPiece = 1024;  // symbols per call; bounds the memory for a text without line ends

}  // namespace

TextReader::TextReader(const hmrnn::CharLMCheckpoint& checkpoint, torch::Device device, uint64_t seed, std::string run)
    : checkpoint_(checkpoint),
      device_(device),
      generator_(hmrnn::make_generator(seed)),
      run_(std::move(run)),
      state_(checkpoint.model->initial_state(1)) {}

TextReader::Result TextReader::read(const torch::Tensor& index) {
  const torch::NoGradGuard no_grad;
  auto model = checkpoint_.model;
  const auto& options = model->options;
  const bool hm_lstm = options.core() == hmrnn::Core::HMLSTM;
  Result out;
  out.z_before = state_.z[0].cpu();
  std::vector<torch::Tensor> z, probability;
  for (const auto& part : index.split(kPiece)) {
    const auto symbols = part.to(torch::kInt64);
    hmrnn::HMLSTMCall call;
    if (const auto given = given_boundaries(checkpoint_, symbols, position_); given.defined()) {
      call.boundaries = given.unsqueeze(1).to(device_);
    } else if (hm_lstm && options.boundary() == hmrnn::BoundaryMode::Bernoulli) {
      call.noise = torch::rand({symbols.size(0), 1, state_.z.size(1)}, generator_).to(device_);
    }
    const auto input = symbols.unsqueeze(1).to(device_);
    const auto result = model->forward(input, state_, call);
    require_finite_result(result.logits.sum().item<double>(), run_);
    z.push_back(result.core.z.squeeze(1).cpu());
    probability.push_back(hm_lstm ? hmrnn::boundary_probability(model->hm_lstm, model->embedding->weight.index({input}),
                                                                state_, result.core)
                                        .squeeze(1)
                                        .cpu()
                                  : z.back());
    state_ = result.core.state;
    position_ += symbols.size(0);
  }
  out.z = torch::cat(z).to(torch::kFloat32);
  out.probability = torch::cat(probability).to(torch::kFloat32);
  return out;
}
