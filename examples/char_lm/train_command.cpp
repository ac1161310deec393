// char_lm train
#include <fmt/format.h>

#include "commands.h"
#include "examples/program/memory.h"
#include "examples/program/training.h"
#include "hmrnn/error.h"
#include "hmrnn/run/out_of_memory.h"
#include "hmrnn/run/printable.h"
#include "hmrnn/run/run_folder.h"
#include "hmrnn/tasks/text_task.h"
#include "train_settings.h"

namespace {

/// Properties of the data that a resume checks.
Json data_of(const hmrnn::TextCorpus& corpus) {
  return {{"vocabulary", corpus.vocabulary.bytes()},
          {"characters", {corpus.train.numel(), corpus.valid.numel()}},
          {kContents, corpus.content_hash()}};
}

/// Throws hmrnn::Error if a resume names other files than the run in `where`, which is too old to have stored a hash of
/// their contents: nothing would tell another text of the same size from its own. (The folder of a named corpus may
/// move.)
void require_same_files(const Json& stored, const OptionMap& now, const std::string& where) {
  if (stored.contains(kContents)) return;
  const auto before = stored_options(stored, where);
  for (const char* name : {"corpus", "valid-file", "test-file"}) {
    const auto found = before.find(name);
    const auto file = found == before.end() ? std::string() : found->second;
    if (file == now.at(name)) continue;
    throw hmrnn::Error(
        fmt::format("--{} {}: the run in {} has {}, and no hash that would tell whether the text is the same", name,
                    now.at(name), where, file.empty() ? "none" : file));
  }
}

hmrnn::Vocabulary stored_vocabulary(const Json& stored) {
  try {
    return hmrnn::Vocabulary(stored.at("vocabulary").get<std::vector<uint8_t>>());
  } catch (const nlohmann::json::exception&) {
    throw hmrnn::Error("the run's vocabulary is malformed");
  }
}

/// "begins with the weights of step 1200 of …; 2 new symbols: 0x7e 0x80"
std::string describe_new_symbols(const hmrnn::CharLMCheckpoint& first, const hmrnn::Vocabulary& of_text) {
  std::string names;
  int64_t count = 0;
  for (const auto byte : of_text.bytes()) {
    if (first.vocabulary.contains(byte)) continue;
    ++count;
    names += fmt::format(" 0x{:02x}", byte);
  }
  return fmt::format("begins with the weights of a model of {} symbols trained on {} ({} steps); new symbols: {}{}",
                     first.vocabulary.size(), hmrnn::printable(first.corpus.corpus), first.step, count,
                     count > 0 ? ":" + names : "");
}

}  // namespace

int train_command(int argc, char** argv) {
  const auto arguments =
      Arguments::parse("train", "Trains a character model; RUN gets best/, last/ and metrics.jsonl.\n",
                       TrainSettings::specs(), "", argc, argv);
  if (!arguments) return 0;

  const auto setup = set_up_training<TrainSettings>(*arguments);
  const auto& [folder, resume, stored, settings, device, dtype, group] = setup;
  auto corpus = hmrnn::load_text_corpus(corpus_options_of(settings.corpus, *arguments));
  std::optional<hmrnn::CharLMCheckpoint> first;  // source of the initial weights
  std::string continues;
  if (!settings.init_from.empty()) {
    if (resume) {
      corpus.use_vocabulary(stored_vocabulary(stored));
    } else {
      first = hmrnn::load_char_lm(hmrnn::RunFolder::find_model(settings.init_from));
      continues = describe_new_symbols(*first, corpus.vocabulary);
      corpus.use_vocabulary(first->vocabulary.joined_with(corpus.vocabulary));
    }
  }
  if (resume) {
    require_same_files(stored, settings.options(), folder.path().string());
    require_same_data(stored, data_of(corpus), corpus.source, folder.path().string());
  }

  const auto evaluated =
      std::min(settings.eval_streams * hmrnn::kEvaluationWindow, corpus.valid.numel()) / setup.ranks();
  require_memory(settings, settings.embedding, corpus.vocabulary.size(), corpus.vocabulary.size(), evaluated,
                 "a smaller --eval-streams needs less", device);
  torch::manual_seed(settings.seed);
  hmrnn::CharLM model(settings.model(corpus.vocabulary.size()));
  if (first) hmrnn::init_from(model, first->model);
  int exit_code = 0;
  hmrnn::with_memory_errors_of(describe_sizes(settings, *model), [&] {
    hmrnn::TextTask task(model, corpus, settings.corpus,
                         {.batch = settings.batch,
                          .window = settings.window,
                          .eval_streams = settings.eval_streams,
                          .roll = settings.roll,
                          .boundaries = settings.boundaries,
                          .boundary_cost = settings.boundary_cost,
                          .detector_norm_cap = settings.detector_norm_cap,
                          .seed = settings.seed,
                          .rank = setup.rank(),
                          .ranks = setup.ranks(),
                          .device = device,
                          .product_dtype = dtype});
    Json run_settings = {{"options", settings.options()}};
    run_settings.update(data_of(corpus));
    exit_code = run_training(task, settings.trainer, folder, run_settings, resume, group.get(), [&] {
      if (!continues.empty()) fmt::print("{}\n", continues);
      fmt::print("{}: {} training, {} validation, {} test characters of {} kinds\n{}", hmrnn::printable(corpus.source),
                 corpus.train.numel(), corpus.valid.numel(), corpus.test.numel(), corpus.vocabulary.size(),
                 describe_setting(settings, *model, device, dtype));
    });
  });
  return exit_code;
}
