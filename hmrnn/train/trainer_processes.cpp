// Collective work of several processes that train one model.

#include <ATen/Context.h>

#include <utility>

#include "hmrnn/run/random_state.h"
#include "hmrnn/train/trainer.h"

namespace hmrnn {

namespace {

const std::string kOfAll = ".processes";  // suffix of a generator's name: uint8 [processes, bytes]

bool has_rows(const std::string& name) { return name.rfind("state.", 0) == 0; }
bool is_generator(const std::string& name) { return name == "rng.cpu" || name == "rng.cuda"; }

/// Gives each process its own stream of random numbers, since all were seeded alike. The first keeps its own.
void separate_generators(const ProcessGroup& group, uint64_t salt) {
  if (group.leads()) return;
  const auto& generator = at::globalContext().defaultGenerator(torch::kCPU);
  // Seeds the generators of CUDA devices as well.
  torch::manual_seed(generator.current_seed() + 0x9e3779b97f4a7c15U * static_cast<uint64_t>(group.rank()) + salt);
}

}  // namespace

void Trainer::lead(const std::function<void()>& work) const {
  if (options_.group) {
    options_.group->lead(work);
  } else {
    work();
  }
}

void Trainer::agree_on_start() {
  const torch::NoGradGuard no_grad;
  for (auto& parameter : task_.module().parameters()) {
    auto weights = parameter.detach().contiguous().clone();
    if (!leads()) weights.zero_();
    options_.group->sum(weights);
    parameter.detach().copy_(weights);
  }
  separate_generators(*options_.group, 0);
}

void Trainer::agree(double* targets, double* positions) {
  const auto request = [](bool requested) { return requested ? 1.0 : 0.0; };
  auto numbers = torch::tensor({targets ? *targets : 0.0, positions ? *positions : 0.0, request(asked_to_stop()),
                                request(leads() && time_is_over()), request(save_requested_ && save_requested_()),
                                request(leads() && last_save_is_old())},
                               torch::kFloat64);
  options_.group->sum(numbers);
  const auto* number = numbers.const_data_ptr<double>();
  if (targets) *targets = number[0];
  if (positions) *positions = number[1];
  agreed_ = {number[2] > 0, number[3] > 0, number[4] > 0, number[5] > 0};
}

bool Trainer::holds_in_all(bool is) const {
  if (!options_.group) return is;
  auto count = torch::full({1}, is ? 1 : 0, torch::kInt64);
  options_.group->sum(count);
  return count.item<int64_t>() == options_.group->size();
}

void Trainer::fill_bucket(const WindowLoss& window) {
  const torch::NoGradGuard no_grad;
  const auto parameters = task_.module().parameters();
  std::vector<torch::Tensor> values;  // undefined: 0
  for (const auto& parameter : parameters) values.push_back(parameter.grad());
  const auto means = task_.window_means();
  values.insert(values.end(), means.begin(), means.end());
  values.push_back(window.loss);

  if (!bucket_.all.defined()) {
    std::vector<at::IntArrayRef> sizes;
    for (const auto& parameter : parameters) sizes.push_back(parameter.sizes());
    for (const auto& mean : means) sizes.push_back(mean.sizes());
    sizes.emplace_back();
    int64_t length = task_.layers();
    for (const auto& each : sizes) length += c10::multiply_integers(each);
    bucket_.all = torch::empty({length}, parameters[0].options().requires_grad(false));
    int64_t at = 0;
    const auto take = [&](int64_t n) { return bucket_.all.narrow(0, std::exchange(at, at + n), n); };
    for (const auto& each : sizes) bucket_.means.push_back(take(c10::multiply_integers(each)).view(each));
    bucket_.updates = take(task_.layers());
  }

  for (size_t i = 0; i < values.size(); ++i) {
    if (values[i].defined()) {
      bucket_.means[i].copy_(values[i]);
    } else {
      bucket_.means[i].zero_();
    }
  }
  if (task_.layers() > 0) bucket_.updates.copy_(window.updates);
  for (const auto& parameter : parameters) parameter.mutable_grad().reset();
}

void Trainer::sum_bucket() {
  const torch::NoGradGuard no_grad;
  // This sum is on the host, while a device still computes, and it has a timeout, so that a missing process is noticed
  // here.
  auto targets = static_cast<double>(window_.count), positions = static_cast<double>(window_.positions);
  agree(&targets, &positions);
  sums_.expect(static_cast<int64_t>(targets), static_cast<int64_t>(positions));
  const double share = targets > 0 ? static_cast<double>(window_.count) / targets : 0;
  bucket_.all.narrow(0, 0, bucket_.all.numel() - bucket_.updates.numel()).mul_(share);
  wait_for_sums();  // of the previous window: so every later wait for the device ends
  options_.group->sum(bucket_.all);
}

void Trainer::update_from_bucket() {
  const torch::NoGradGuard no_grad;
  auto place = bucket_.means.begin();
  for (const auto& parameter : task_.module().parameters()) parameter.mutable_grad() = *place++;
  for (const auto& mean : task_.window_means()) mean.copy_(*place++);
  update({.loss = *place, .updates = bucket_.updates.to(torch::kFloat64)});
}

void Trainer::wait_for_sums() const {
  if (options_.group) options_.group->wait_for_sums();
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
    for (int64_t l = 0; l < layers; ++l) {
      number[4 + l] = own->count > 0 ? own->updates[static_cast<size_t>(l)] * count : 0;
    }
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
  if (options_.group->size() == 1) return;
  std::vector<std::pair<std::string, torch::Tensor>> generators;
  for (auto& [name, tensor] : state.tensors) {
    if (has_rows(name)) tensor = options_.group->gather_rows(tensor);
    if (is_generator(name)) {
      generators.emplace_back(name + kOfAll, options_.group->gather_rows(tensor.view({1, -1})));
    }
  }
  state.tensors.insert(state.tensors.end(), generators.begin(), generators.end());
}

SafeTensors Trainer::own_rows(const SafeTensors& file) const {
  SafeTensors out;
  out.metadata = file.metadata;
  for (const auto& [name, tensor] : file.tensors) {
    auto own = tensor;
    if (has_rows(name) && tensor.defined() && tensor.dim() >= 1) {
      const auto [begin, count] = rows_of_rank(tensor.size(0), options_.group->rank(), options_.group->size());
      own = tensor.narrow(0, begin, count);
    }
    out.tensors.emplace_back(name, own);
  }
  return out;
}

void Trainer::load_generators(const SafeTensors& file, const std::string& where) const {
  load_random_state(file, task_.device(), where);
  if (!options_.group) return;
  const auto of_all = file.find("rng.cpu" + kOfAll);
  if (!of_all.defined() || of_all.dim() != 2 || of_all.size(0) != options_.group->size()) {
    separate_generators(*options_.group, static_cast<uint64_t>(step_) + 1);  // another number of processes stored it
    return;
  }
  SafeTensors own;
  for (const auto& [name, tensor] : file.tensors) {
    if (!is_generator(name)) continue;
    const auto all = file.find(name + kOfAll);
    own.tensors.emplace_back(name, all.defined() ? all[options_.group->rank()].clone() : tensor);
  }
  load_random_state(own, task_.device(), where);
}

}  // namespace hmrnn
