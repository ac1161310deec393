// Your own model and data in hmrnn's training loop: slope annealing, a learning rate that drops when validation stops
// improving, checkpoints, records and a progress line. Ctrl-C saves; the same command resumes bit for bit.
//
//   own_task RUN
#include <hmrnn/train.h>
#include <torch/nn/functional/loss.h>

#include "forecaster.h"
#include "readings.h"

/// Forecasts of readings; a window has 80 readings of 16 series.
class ForecastTask : public hmrnn::TrainingTask {
 public:
  torch::nn::Module& module() override { return *model_; }
  int64_t layers() const override { return 2; }
  int64_t windows() const override { return 50; }  // per epoch
  std::string unit() const override { return "readings"; }

  /// A window depends only on its number, so that a resumed run gets the same data.
  hmrnn::LoadedWindow load(int64_t epoch, int64_t window) override {
    std::mt19937 generator(static_cast<unsigned>(epoch * windows() + window));
    series_ = readings(/*steps=*/81, /*batch=*/16, generator).first;
    return {/*count=*/80 * 16, /*positions=*/80 * 16, {}};
  }
  hmrnn::WindowLoss forward() override { return score(series_); }
  std::optional<hmrnn::Evaluation> evaluate(const std::function<bool()>& /*stop*/) override {
    const torch::NoGradGuard no_grad;
    std::mt19937 generator(12345);
    const auto result = score(readings(81, 64, generator).first);
    return hmrnn::Evaluation{result.loss.item<double>(), 80 * 64, {}, 0};
  }
  void set_slope(double slope) override { model_->layers->set_slope(slope); }
  double slope() const override { return model_->layers->slope(); }

 private:
  hmrnn::WindowLoss score(const torch::Tensor& series) {
    const auto [prediction, z] = model_->forward(series.slice(0, 0, -1));
    return {torch::nn::functional::mse_loss(prediction, series.slice(0, 1)),
            hmrnn::update_counts(z, torch::zeros_like(z[0]), layers())};
  }
  Forecaster model_;
  torch::Tensor series_;
};

int main(int argc, char** argv) try {
  if (argc != 2) throw hmrnn::Error("usage: own_task RUN");
  torch::set_num_threads(1);  // the model is too small for more threads
  torch::manual_seed(1);
  const hmrnn::RunFolder folder(argv[1]);
  const hmrnn::StopSignal signal;  // Ctrl-C
  hmrnn::Progress progress;
  ForecastTask task;
  hmrnn::Trainer trainer(task, {.learning_rate = 5e-3, .slope_rate = 0.5, .epochs = 6, .checkpoint_every = 100}, folder,
                         progress, "{}", [] { return hmrnn::StopSignal::received() != 0; });
  folder.has_state() ? trainer.resume() : trainer.start();
  if (trainer.run() == hmrnn::StopReason::Signal) {
    progress.message("stopped after step " + std::to_string(trainer.step()) + ", saved: the same command resumes");
    return 128 + hmrnn::StopSignal::received();
  }
  // The model with the best validation, loaded as any program can load it.
  Forecaster best;
  hmrnn::unpack_module(*best, hmrnn::read_safetensors(folder.best_model()), argv[1], /*buffers=*/false);
  progress.message("best: " + task.loss_text(*trainer.best_loss()) + " at step " + std::to_string(trainer.best_step()));
  return 0;
} catch (const hmrnn::Error& error) {
  std::fprintf(stderr, "own_task: %s\n", error.what());
  return 2;
}
