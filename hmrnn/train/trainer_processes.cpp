// What several processes that train one model do together.

#include <ATen/Context.h>

#include <numeric>
#include <utility>

#include "hmrnn/run/random_state.h"
#include "hmrnn/train/trainer.h"

namespace hmrnn {

namespace {

constexpr const char* kGenerators = "rng.processes";  // uint8 [processes, bytes]

bool has_rows(const std::string& name) { return name.rfind("state.", 0) == 0; }

/// Another stream of random numbers for each process, whose generators were seeded alike; the first keeps its own.
void separate_generator(const ProcessGroup& group, uint64_t salt) {
  if (group.leads()) return;
  const auto& generator = at::globalContext().defaultGenerator(torch::kCPU);
  torch::manual_seed(generator.current_seed() + 0x9e3779b97f4a7c15U * static_cast<uint64_t>(group.rank()) + salt);
}

}  // namespace

void Trainer::agree_on_start() {
  const torch::NoGradGuard no_grad;
  // The weights of the first process, whatever the others began with.
  for (auto& parameter : task_.module().parameters()) {
    auto weights = parameter.detach().contiguous().clone();
    if (!leads()) weights.zero_();
    options_.group->sum(weights);
    parameter.detach().copy_(weights);
  }
  separate_generator(*options_.group, 0);
}

void Trainer::share_window(WindowLoss& window) {
  const torch::NoGradGuard no_grad;
  const auto parameters = task_.module().parameters();
  const auto means = task_.window_means();
  const auto options = parameters[0].options().requires_grad(false);
  // One bucket. Gradients and means weigh as much as the targets that they are of.
  const auto targets = static_cast<double>(window_.count);
  std::vector<torch::Tensor> parts;
  for (const auto& parameter : parameters) {
    const auto& gradient = parameter.grad();
    parts.push_back(gradient.defined() ? (gradient * targets).flatten() : torch::zeros({parameter.numel()}, options));
  }
  for (const auto& mean : means) parts.push_back((mean * targets).to(options).flatten());
  const double loss = window.loss.defined() ? window.loss.item<double>() * targets : 0.0;
  parts.push_back(torch::tensor({loss, targets, static_cast<double>(window_.positions), asked_to_stop() ? 1.0 : 0.0,
                                 leads() && out_of_time() ? 1.0 : 0.0},
                                options));
  if (task_.layers() > 0) parts.push_back(window.updates.to(options));
  auto bucket = torch::cat(parts);
  options_.group->sum(bucket);

  int64_t at = 0;
  const auto next = [&](int64_t n) { return bucket.narrow(0, std::exchange(at, at + n), n); };
  const auto gradients = next(std::accumulate(parameters.begin(), parameters.end(), int64_t{0},
                                              [](int64_t n, const auto& p) { return n + p.numel(); }));
  std::vector<torch::Tensor> shared;
  for (const auto& mean : means) shared.push_back(next(mean.numel()));
  const auto numbers = next(5).to(torch::kCPU, torch::kFloat64);
  const auto* number = numbers.const_data_ptr<double>();
  const double all = number[1];
  gradients.div_(all);
  int64_t begin = 0;
  for (auto& parameter : parameters) {
    parameter.mutable_grad() =
        gradients.narrow(0, std::exchange(begin, begin + parameter.numel()), parameter.numel()).view(parameter.sizes());
  }
  for (size_t i = 0; i < means.size(); ++i) means[i].copy_(shared[i].view(means[i].sizes()) / all);
  window.loss = torch::full({}, number[0] / all, options);
  if (task_.layers() > 0) window.updates = next(task_.layers()).to(torch::kFloat64);
  sums_.expect(static_cast<int64_t>(all), static_cast<int64_t>(number[2]));
  agreed_stop_ = number[3] > 0;
  agreed_end_ = number[4] > 0;
}

std::optional<Evaluation> Trainer::share_evaluation(const std::optional<Evaluation>& own) const {
  const auto layers = task_.layers();
  auto numbers = torch::zeros({4 + layers}, torch::kFloat64);
  auto* number = numbers.data_ptr<double>();
  if (own) {
    const auto count = static_cast<double>(own->count);
    number[1] = count;
    number[2] = own->count > 0 ? own->loss * count : 0;
    number[3] = own->seconds / static_cast<double>(options_.group->size());
    for (int64_t l = 0; l < layers; ++l) number[4 + l] = own->updates[static_cast<size_t>(l)] * count;
  } else {
    number[0] = 1;
  }
  options_.group->sum(numbers);
  if (number[0] > 0) return std::nullopt;
  Evaluation all;
  all.count = static_cast<int64_t>(number[1]);
  all.loss = number[2] / number[1];
  all.seconds = number[3];
  for (int64_t l = 0; l < layers; ++l) all.updates.push_back(number[4 + l] / number[1]);
  return all;
}

void Trainer::gather_state(SafeTensors& state) const {
  torch::Tensor generator;
  for (auto& [name, tensor] : state.tensors) {
    if (has_rows(name)) tensor = options_.group->gather_rows(tensor);
    if (name == "rng.cpu") generator = tensor;
  }
  if (options_.group->size() > 1) {
    state.tensors.emplace_back(kGenerators, options_.group->gather_rows(generator.view({1, -1})));
  }
}

SafeTensors Trainer::own_rows(const SafeTensors& file) const {
  SafeTensors out;
  out.metadata = file.metadata;
  for (const auto& [name, tensor] : file.tensors) {
    if (has_rows(name) && tensor.defined() && tensor.dim() >= 1) {
      const auto [begin, count] = rows_of_rank(tensor.size(0), options_.group->rank(), options_.group->size());
      out.tensors.emplace_back(name, tensor.narrow(0, begin, count));
    } else {
      out.tensors.emplace_back(name, tensor);
    }
  }
  return out;
}

void Trainer::load_generators(const SafeTensors& file, const std::string& where) const {
  load_random_state(file, task_.device(), where);
  if (!options_.group) return;
  const auto all = file.find(kGenerators);
  if (!all.defined() || all.dim() != 2 || all.size(0) != options_.group->size()) {
    // Stored by another number of processes.
    separate_generator(*options_.group, static_cast<uint64_t>(step_) + 1);
    return;
  }
  SafeTensors own;
  for (const auto& [name, tensor] : file.tensors) {
    if (name == "rng.cpu") own.tensors.emplace_back(name, all[options_.group->rank()].clone());
    if (name == "rng.cuda") own.tensors.emplace_back(name, tensor);
  }
  load_random_state(own, task_.device(), where);
}

}  // namespace hmrnn
