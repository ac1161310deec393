// char_lm train
#include <fmt/format.h>

#include <cstdio>

#include "commands.h"
#include "examples/program/training.h"
#include "hmrnn/train/out_of_memory.h"
#include "hmrnn/train/product_dtype.h"
#include "hmrnn/train/text_task.h"
#include "hmrnn/train/trainer.h"
#include "train_settings.h"

namespace {

/// What a resume must find again.
Json data_of(const hmrnn::TextCorpus& corpus) {
  return {{"vocabulary", corpus.vocabulary.bytes()}, {"characters", {corpus.train.numel(), corpus.valid.numel()}}};
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
  if (resume) require_same_data(stored, data_of(corpus), corpus.source, folder.path().string());

  torch::manual_seed(settings.seed);
  hmrnn::CharLM model(settings.model(corpus.vocabulary.size()));
  int exit_code = 0;
  hmrnn::with_memory_errors_of(describe_sizes(settings, *model), [&] {
    hmrnn::TextTask task(model, corpus, settings.corpus,
                         {.batch = settings.batch,
                          .window = settings.window,
                          .eval_streams = settings.eval_streams,
                          .seed = settings.seed,
                          .device = device,
                          .product_dtype = dtype});
    Json run_settings = {{"options", settings.options()}};
    run_settings.update(data_of(corpus));
    exit_code = run_training(task, settings.trainer, folder, run_settings, resume, [&] {
      fmt::print("{}: {} training, {} validation, {} test characters of {} kinds\n{}", corpus.source,
                 corpus.train.numel(), corpus.valid.numel(), corpus.test.numel(), corpus.vocabulary.size(),
                 describe_setting(settings, *model, device, dtype));
    });
  });
  return exit_code;
}
