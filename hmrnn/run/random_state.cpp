#include "hmrnn/run/random_state.h"

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/Context.h>

#include <mutex>

#include "hmrnn/error.h"

namespace hmrnn {

namespace {

torch::Tensor get_state(const torch::Generator& generator) {
  const std::lock_guard<std::mutex> lock(const_cast<torch::Generator&>(generator).mutex());
  return generator.get_state();
}

void set_state(torch::Generator generator, const torch::Tensor& state, const std::string& where) {
  try {
    const std::lock_guard<std::mutex> lock(generator.mutex());
    generator.set_state(state);
  } catch (const c10::Error&) {
    throw Error(where + ": the saved state of the random numbers is not one of this LibTorch");
  }
}

}  // namespace

void save_random_state(SafeTensors& file, torch::Device device) {
  file.tensors.emplace_back("rng.cpu", get_state(at::globalContext().defaultGenerator(torch::kCPU)));
  if (device.is_cuda()) {
    file.tensors.emplace_back("rng.cuda", get_state(at::globalContext().defaultGenerator(device)));
  }
}

void load_random_state(const SafeTensors& file, torch::Device device, const std::string& where) {
  const auto cpu = file.find("rng.cpu");
  if (!cpu.defined()) throw Error(where + ": tensor rng.cpu is missing");
  set_state(at::globalContext().defaultGenerator(torch::kCPU), cpu, where);
  const auto cuda = file.find("rng.cuda");
  if (device.is_cuda() && cuda.defined()) set_state(at::globalContext().defaultGenerator(device), cuda, where);
}

torch::Generator make_generator(uint64_t seed) { return at::make_generator<at::CPUGeneratorImpl>(seed); }

}  // namespace hmrnn
