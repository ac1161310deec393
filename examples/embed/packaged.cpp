// Runs a trained character model, compiled and packaged by Python (python/README.md, hmrnn.package), in C++ without
// Python. libhmrnn is linked for its operators. The example also loads the checkpoint of the model, to show that the
// package computes the same logits up to rounding.
//
//   packaged MODEL.pt2 MODEL.safetensors < TEXT
#include <hmrnn/hmrnn.h>
#include <torch/csrc/inductor/aoti_package/model_package_loader.h>

#include <cmath>
#include <cstdio>
#include <vector>

int main(int argc, char** argv) try {
  if (argc != 3) throw hmrnn::Error("usage: packaged MODEL.pt2 MODEL.safetensors < TEXT");
  const torch::NoGradGuard no_grad;
  torch::inductor::AOTIModelPackageLoader package(argv[1]);
  auto trained = hmrnn::load_char_lm(argv[2]);

  std::vector<int64_t> symbols;
  for (int byte; (byte = std::getchar()) != EOF;) {
    if (trained.vocabulary.contains(static_cast<uint8_t>(byte))) {
      symbols.push_back(trained.vocabulary.index(static_cast<uint8_t>(byte)));
    }
  }
  if (symbols.size() < 2) throw hmrnn::Error("the text has fewer than two known characters");
  const auto text = torch::tensor(symbols).unsqueeze(1);  // [T, B = 1]

  // Windows of 100 steps: the state after a window goes into the next. Inputs: index, h and c of each layer, z.
  auto state = trained.model->initial_state(1);
  auto expected = state;
  double bits = 0, difference = 0;
  for (int64_t begin = 0; begin + 1 < text.size(0); begin += 100) {
    const auto window = text.slice(0, begin, std::min(begin + 100, text.size(0) - 1));
    std::vector<torch::Tensor> inputs{window};
    inputs.insert(inputs.end(), state.h.begin(), state.h.end());
    inputs.insert(inputs.end(), state.c.begin(), state.c.end());
    inputs.push_back(state.z);
    const auto outputs = package.run(inputs);  // logits [T, 1, V], then the state in the same order
    auto next = outputs.begin() + 1;
    for (auto& h : state.h) h = *next++;
    for (auto& c : state.c) c = *next++;
    state.z = *next;

    const auto target = text.slice(0, begin + 1, begin + 1 + window.size(0));
    bits += hmrnn::cross_entropy(outputs[0], target).item<double>() * static_cast<double>(window.size(0)) / std::log(2);
    const auto out = trained.model->forward(window, expected);
    expected = out.core.state;
    difference = std::max(difference, (out.logits - outputs[0]).abs().max().item<double>());
  }
  std::printf("%.4f bits per character of %zu; logits differ from the checkpoint's by %.1e at most\n",
              bits / static_cast<double>(symbols.size() - 1), symbols.size(), difference);
  return 0;
} catch (const std::exception& error) {
  std::fprintf(stderr, "packaged: %s\n", error.what());
  return 2;
}
