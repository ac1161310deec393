// handwriting train
#include <fmt/format.h>

#include <cstdio>

#include "commands.h"
#include "examples/program/training.h"
#include "hmrnn/train/ink_task.h"
#include "hmrnn/train/out_of_memory.h"
#include "hmrnn/train/product_dtype.h"
#include "hmrnn/train/trainer.h"
#include "train_settings.h"

namespace {

/// What a resume must find again.
Json data_of(const hmrnn::InkCorpus& corpus, const hmrnn::InkNormalisation& normalisation) {
  return {{"lines", {corpus.split("train").size(), corpus.split("valid").size()}},
          {"normalisation", hmrnn::describe_normalisation(normalisation)}};
}

}  // namespace

int train_command(int argc, char** argv) {
  const auto arguments =
      Arguments::parse("train", "Trains a model of handwriting; RUN gets best/, last/ and metrics.jsonl.\n",
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
  const auto corpus = hmrnn::load_ink_corpus(corpus_options);

  torch::manual_seed(settings.seed);
  hmrnn::HandwritingModel model(settings.model());
  int exit_code = 0;
  hmrnn::with_memory_errors_of(describe_sizes(settings, *model), [&] {
    hmrnn::InkTask task(model, corpus, settings.corpus,
                        {.batch = settings.batch,
                         .window = settings.window,
                         .coordinates = settings.coordinates,
                         .seed = settings.seed,
                         .device = device,
                         .product_dtype = dtype});
    const auto data = data_of(corpus, task.normalisation());
    if (resume) require_same_data(stored, data, corpus.source, folder.path().string());
    Json run_settings = {{"options", settings.options()}};
    run_settings.update(data);
    exit_code = run_training(task, settings.trainer, folder, run_settings, resume, [&] {
      for (const auto& bad : corpus.bad) fmt::print("left out: {}\n", bad);
      const auto& n = task.normalisation();
      fmt::print(
          "{}{} standardised by mean {:.3f}, {:.3f} and deviation {:.3f}, {:.3f}; {} windows an epoch, {:.1f}% "
          "padding\n{}",
          corpus.report(), hmrnn::to_string(n.coordinates), n.mean[0], n.mean[1], n.deviation[0], n.deviation[1],
          task.windows(), 100 * task.batches().padding(), describe_setting(settings, *model, device, dtype));
    });
  });
  return exit_code;
}
