// The program char_lm: trains HM-LSTM character models and uses them.
#include "commands.h"
#include "examples/program/program.h"

hmrnn::CharLMCheckpoint load_run(const Arguments& arguments, torch::Device device) {
  const auto file = model_file(arguments);
  auto checkpoint = hmrnn::load_char_lm(file);
  tell_about_model(arguments, file, checkpoint.step, checkpoint.verified);
  checkpoint.model->to(device);
  return checkpoint;
}

torch::Tensor given_boundaries(const hmrnn::CharLMCheckpoint& checkpoint, const torch::Tensor& index,
                               int64_t position) {
  const auto& given = checkpoint.boundaries;
  return given.defined() ? given(index.unsqueeze(1), position).squeeze(1) : torch::Tensor();
}

int export_command(int argc, char** argv) {
  return export_model(argc, argv, [](const auto& file) { hmrnn::load_char_lm(file); });
}

int main(int argc, char** argv) {
  return run_program("char_lm", "character models with hierarchical multiscale LSTMs",
                     {{"train", train_command, "train a model on a text", /*long_lasting=*/true},
                      {"eval", eval_command, "bits per character of a model on a text", /*long_lasting=*/true},
                      {"sample", sample_command, "sample text from a model"},
                      {"segment", segment_command, "show the boundaries that a model finds in a text"},
                      {"align", align_command, "how the boundaries agree with spaces, words, or your own marks",
                       /*long_lasting=*/true},
                      {"report", report_command, "write a page: a model's results on a text, and its training"},
                      {"export", export_command, "copy a model into one file for use elsewhere"}},
                     argc, argv);
}
