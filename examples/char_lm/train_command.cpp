// char_lm train
#include <fmt/format.h>

#include <cstdio>
#include <fstream>
#include <nlohmann/json.hpp>

#include "commands.h"
#include "hmrnn/error.h"
#include "hmrnn/ops/cuda_library.h"
#include "hmrnn/train/product_dtype.h"
#include "hmrnn/train/stop_signal.h"
#include "hmrnn/train/text_task.h"
#include "hmrnn/train/trainer.h"
#include "train_settings.h"

namespace {

using Json = nlohmann::ordered_json;

/// The options and what they were resolved to, as a run stores them; a resume must find the same data.
Json run_settings(const TrainSettings& settings, const hmrnn::TextCorpus& corpus) {
  return {{"options", settings.options()},
          {"vocabulary", corpus.vocabulary.bytes()},
          {"characters", {corpus.train.numel(), corpus.valid.numel()}}};
}

void require_same_data(const Json& stored, const hmrnn::TextCorpus& corpus, const std::string& where) {
  const Json now = {{"vocabulary", corpus.vocabulary.bytes()},
                    {"characters", {corpus.train.numel(), corpus.valid.numel()}}};
  for (const auto& [key, value] : now.items()) {
    if (!stored.contains(key) || stored[key] != value) {
      throw hmrnn::Error(fmt::format("{} is not the text that the run in {} was trained on: its {} differ", corpus.source,
                                     where, key));
    }
  }
}

OptionMap stored_options(const Json& stored, const std::string& where) {
  try {
    return stored.at("options").get<OptionMap>();
  } catch (const nlohmann::json::exception& error) {
    throw hmrnn::Error(where + ": the run's options are malformed");
  }
}

void print_setting(const TrainSettings& settings, const hmrnn::TextCorpus& corpus, const hmrnn::CharLM& model,
                   torch::Device device, std::optional<torch::ScalarType> dtype) {
  int64_t parameters = 0;
  for (const auto& parameter : model->parameters()) parameters += parameter.numel();
  fmt::print("{}: {} training, {} validation, {} test characters of {} kinds\n", corpus.source, corpus.train.numel(),
             corpus.valid.numel(), corpus.test.numel(), corpus.vocabulary.size());
  fmt::print("{} {}, {} parameters; {}, {} threads, {}\n", hmrnn::to_string(settings.core),
             settings.options().at("units"), parameters, hmrnn::describe_device(device), at::get_num_threads(),
             dtype ? "bfloat16 products" : "float32");
  std::fflush(stdout);
}

}  // namespace

int train_command(int argc, char** argv) {
  const auto arguments =
      Arguments::parse("train", "Trains a character model; RUN gets best/, last/ and metrics.jsonl.\n",
                       TrainSettings::specs(), "", argc, argv);
  if (!arguments) return 0;

  // Everything is checked before anything is written.
  const hmrnn::RunFolder folder(arguments->require("out"));
  const bool resume = arguments->has("resume");
  Json stored;
  TrainSettings settings;
  if (resume) {
    stored = hmrnn::Trainer::read_run_settings(folder);
    settings = TrainSettings::resumed(stored_options(stored, folder.last_state().string()), arguments->values(),
                                      folder.path().string());
  } else {
    settings = TrainSettings::create(arguments->values());
    folder.require_absent();
  }
  const auto device = set_up_machine(settings.threads, settings.device);
  const auto dtype = hmrnn::resolve_product_dtype(settings.dtype, device);
  auto corpus_options = settings.corpus.options();
  // A folder that was asked for is not replaced by the default one, as that of a moved run is.
  if (arguments->has("data-dir")) corpus_options.data_dir = settings.corpus.data_dir;
  const auto corpus = hmrnn::load_text_corpus(corpus_options);
  if (resume) require_same_data(stored, corpus, folder.path().string());

  torch::manual_seed(settings.seed);
  hmrnn::CharLM model(settings.model(corpus.vocabulary.size()));
  hmrnn::TextTask task(model, corpus, settings.corpus,
                       {.batch = settings.batch,
                        .window = settings.window,
                        .eval_streams = settings.eval_streams,
                        .seed = settings.seed,
                        .device = device,
                        .product_dtype = dtype});

  const hmrnn::StopSignal signal;
  hmrnn::Progress progress(stdout);
  hmrnn::Trainer trainer(task, settings.trainer, folder, progress, run_settings(settings, corpus),
                         [] { return hmrnn::StopSignal::received() != 0; });
  if (resume) {
    trainer.resume();
  } else {
    trainer.start();
  }
  print_setting(settings, corpus, model, device, dtype);
  if (resume) progress.message(fmt::format("resumed at step {}", trainer.step()));
  const auto reason = trainer.run();

  if (reason == hmrnn::StopReason::Signal) {
    progress.message(fmt::format("stopped by a signal after step {}, saved; go on with --resume", trainer.step()));
    return 128 + hmrnn::StopSignal::received();
  }
  auto text = fmt::format("done: {} steps", trainer.step());
  if (trainer.best_loss()) {
    text += fmt::format(", best validation {} at step {}", task.loss_text(*trainer.best_loss()), trainer.best_step());
  }
  if (trainer.skipped() > 0) text += fmt::format(", {} updates skipped", trainer.skipped());
  progress.message(text);
  return 0;
}
