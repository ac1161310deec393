// The program handwriting: trains HM-LSTM models of handwriting and uses them.
#include "commands.h"
#include "examples/program/program.h"
#include "hmrnn/error.h"
#include "hmrnn/tasks/evaluate_ink.h"

hmrnn::HandwritingCheckpoint load_run(const Arguments& arguments, torch::Device device) {
  const auto file = model_file(arguments);
  auto checkpoint = hmrnn::load_handwriting(file);
  tell_about_model(arguments, file, checkpoint.step, checkpoint.verified);
  checkpoint.model->to(device);
  return checkpoint;
}

int export_command(int argc, char** argv) {
  return export_model(argc, argv, [](const auto& file) { hmrnn::load_handwriting(file); });
}

hmrnn::InkBatches ChosenLines::batches(const hmrnn::InkNormalisation& normalisation) const {
  return {hmrnn::ink_sequences(corpus, lines, normalisation), hmrnn::kInkEvaluationBatch, hmrnn::kInkEvaluationWindow,
          std::nullopt};
}

std::vector<OptionSpec> corpus_options() {
  return {{"split", "NAME", "train, valid, test or all; with the split graves also valid2 (default: test)"},
          {"corpus", "NAME", "synthetic or iam (default: the one it was trained on)"},
          {"data-dir", "DIR", "a folder of lineStrokes files, or their archive; implies iam"}};
}

ChosenLines choose_lines(const Arguments& arguments, const hmrnn::HandwritingCheckpoint& checkpoint) {
  auto options = hmrnn::options_to_load(checkpoint.corpus);
  const auto corpus = parse_choice(
      "corpus", arguments.get("corpus", arguments.has("data-dir") ? "iam" : options.corpus), {"synthetic", "iam"});
  if (corpus != options.corpus) {
    options = {};
    options.corpus = corpus;
    options.min_points = checkpoint.corpus.min_points;
  }
  if (arguments.has("data-dir")) {
    if (corpus != "iam") throw hmrnn::Error("--data-dir is for iam; the corpus is " + corpus);
    options.data_dir = arguments.get("data-dir", "");
  }
  ChosenLines out;
  out.corpus = hmrnn::load_ink_corpus(options);
  out.split = arguments.get("split", "test");
  out.lines = out.corpus.split(out.split);
  return out;
}

int main(int argc, char** argv) {
  return run_program(
      "handwriting", "models of handwriting with hierarchical multiscale LSTMs",
      {{"train", train_command, "train a model on lines of handwriting", /*long_lasting=*/true},
       {"eval", eval_command, "log-likelihood of handwriting under a model", /*long_lasting=*/true},
       {"draw", draw_command, "sample from a model, or show its boundaries, as SVG"},
       {"align", align_command, "how the boundaries agree with pen strokes and words", /*long_lasting=*/true},
       {"synthesize", synthesize_command, "write synthetic ink as IAM-OnDB files"},
       {"report", report_command, "write a page: a model's results on handwriting, and its training"},
       {"export", export_command, "copy a model into one file for use elsewhere"}},
      argc, argv);
}
