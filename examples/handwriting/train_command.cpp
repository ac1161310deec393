// handwriting train
#include <fmt/format.h>

#include "commands.h"
#include "examples/program/memory.h"
#include "examples/program/training.h"
#include "hmrnn/error.h"
#include "hmrnn/run/out_of_memory.h"
#include "hmrnn/run/printable.h"
#include "hmrnn/run/run_folder.h"
#include "hmrnn/tasks/ink_task.h"
#include "train_settings.h"

namespace {

/// Properties of the data that a resume checks.
Json data_of(const hmrnn::InkCorpus& corpus, const hmrnn::InkNormalisation& normalisation) {
  return {{"lines", {corpus.split("train").size(), corpus.split("valid").size()}},
          {"normalisation", Json::parse(hmrnn::describe_normalisation(normalisation))},
          {kContents, corpus.content_hash()}};
}

hmrnn::InkNormalisation stored_normalisation(const Json& stored) {
  if (!stored.contains("normalisation")) throw hmrnn::Error("the run's normalisation is missing");
  return hmrnn::parse_normalisation(stored["normalisation"].dump());
}

}  // namespace

int train_command(int argc, char** argv) {
  const auto arguments =
      Arguments::parse("train", "Trains a model of handwriting; RUN gets best/, last/ and metrics.jsonl.\n",
                       TrainSettings::specs(), "", argc, argv);
  if (!arguments) return 0;

  const auto setup = set_up_training<TrainSettings>(*arguments);
  const auto& [folder, resume, stored, settings, device, dtype, group] = setup;
  const auto corpus = hmrnn::load_ink_corpus(corpus_options_of(settings.corpus, *arguments));

  int64_t evaluated = 0;
  for (const auto line : corpus.split("valid")) evaluated += static_cast<int64_t>(corpus.lines[line].points.size());
  evaluated = std::min(evaluated, hmrnn::kInkEvaluationBatch * hmrnn::kInkEvaluationWindow) / setup.ranks();
  require_memory(settings, /*input_size=*/3, /*symbols=*/0, 6 * settings.mixtures + 1, evaluated, /*hint=*/"", device);
  torch::manual_seed(settings.seed);
  hmrnn::HandwritingModel model(settings.model());
  // A model that is trained further on other lines keeps its normalisation of x and y.
  std::optional<hmrnn::InkNormalisation> normalisation;
  std::string continues;
  if (!settings.init_from.empty() && resume) {
    normalisation = stored_normalisation(stored);
  } else if (!settings.init_from.empty()) {
    const auto first = hmrnn::load_handwriting(hmrnn::RunFolder::find_model(settings.init_from));
    hmrnn::init_from(model, first.model);
    normalisation = first.normalisation;
    continues = fmt::format("begins with the weights and the normalisation of a model trained on {} ({} steps)\n",
                            hmrnn::printable(first.corpus.corpus), first.step);
  }
  int exit_code = 0;
  hmrnn::with_memory_errors_of(describe_sizes(settings, *model), [&] {
    hmrnn::InkTask task(model, corpus, settings.corpus,
                        {.batch = settings.batch,
                         .window = settings.window,
                         .coordinates = settings.coordinates,
                         .normalisation = normalisation,
                         .scale_jitter = settings.scale_jitter,
                         .boundary_cost = settings.boundary_cost,
                         .detector_norm_cap = settings.detector_norm_cap,
                         .seed = settings.seed,
                         .rank = setup.rank(),
                         .ranks = setup.ranks(),
                         .device = device,
                         .product_dtype = dtype});
    const auto data = data_of(corpus, task.normalisation());
    if (resume) require_same_data(stored, data, corpus.source, folder.path().string());
    Json run_settings = {{"options", settings.options()}};
    run_settings.update(data);
    exit_code = run_training(task, settings.trainer, folder, run_settings, resume, group.get(), [&] {
      fmt::print("{}", continues);
      for (const auto& error : corpus.file_errors) fmt::print("left out: {}\n", hmrnn::printable(error));
      const auto& n = task.normalisation();
      fmt::print(
          "{}{} standardised by mean {:.3f}, {:.3f} and deviation {:.3f}, {:.3f}; {} windows an epoch, {:.1f}% "
          "padding\n{}",
          hmrnn::printable_lines(corpus.report()), hmrnn::to_string(n.coordinates), n.mean[0], n.mean[1],
          n.deviation[0], n.deviation[1], task.windows(), 100 * task.batches().padding(),
          describe_setting(settings, *model, device, dtype));
    });
  });
  return exit_code;
}
