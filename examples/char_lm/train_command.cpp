// char_lm train
#include <fmt/format.h>

#include "commands.h"
#include "examples/program/memory.h"
#include "examples/program/training.h"
#include "hmrnn/run/out_of_memory.h"
#include "hmrnn/tasks/text_task.h"
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

  const auto [folder, resume, stored, settings, device, dtype] = set_up_training<TrainSettings>(*arguments);
  const auto corpus = hmrnn::load_text_corpus(corpus_options_of(settings.corpus, *arguments));
  if (resume) require_same_data(stored, data_of(corpus), corpus.source, folder.path().string());

  require_memory(settings, settings.embedding, corpus.vocabulary.size(), corpus.vocabulary.size(), device);
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
