// An HM-LSTM inside your own model, over a series of real values: bursts that decay at different rates. The data do not
// mark where a burst begins.
#include <torch/torch.h>

#include <cstdio>
#include <cstdlib>
#include <utility>

#include "forecaster.h"
#include "readings.h"

int main(int argc, char** argv) {
  const int steps = argc > 1 ? std::atoi(argv[1]) : 300;
  torch::set_num_threads(1);  // the model is too small for more threads
  torch::manual_seed(1);
  Forecaster model;
  torch::optim::Adam optimizer(model->parameters(), torch::optim::AdamOptions(5e-3));
  std::mt19937 generator(1);
  double sum = 0;
  for (int step = 1; step <= steps; ++step) {
    const auto [series, starts] = readings(/*steps=*/80, /*batch=*/16, generator);
    const auto loss = torch::mse_loss(model->forward(series.slice(0, 0, -1)).first, series.slice(0, 1));
    optimizer.zero_grad();
    loss.backward();
    torch::nn::utils::clip_grad_norm_(model->parameters(), 1.0);
    optimizer.step();
    sum += loss.item<double>();
    if (step % 100 == 0) std::printf("step %d  mean squared error %.4f\n", step, std::exchange(sum, 0) / 100);
  }

  const auto [series, starts] = readings(80, 1, generator);
  const torch::NoGradGuard no_grad;
  const auto [prediction, boundaries] = model->forward(series);
  show(series, starts, boundaries);

  torch::save(model, "forecaster.pt");
  Forecaster loaded;
  torch::load(loaded, "forecaster.pt");
  const bool same = torch::equal(loaded->forward(series).first, prediction);
  std::puts(same ? "saved, loaded: the same output" : "saved, loaded: ANOTHER OUTPUT");
  return same ? 0 : 1;
}
