// A small model learns more about the synthetic text than character frequencies.
#include <cmath>
#include <numbers>

#include "catch.h"
#include "hmrnn/ops/cross_entropy.h"
#include "hmrnn/tasks/evaluate_text.h"
#include "support/temporary_folder.h"
#include "train/trainer_fixture.h"

using namespace hmrnn;

TEST_CASE("a few hundred updates beat the unigram entropy clearly, with both cores") {
  const auto core = GENERATE(Core::HMLSTM, Core::LSTM);
  TextCorpusOptions options;
  options.synthetic_length = 60000;
  const auto corpus = load_text_corpus(options);
  const auto share = torch::bincount(corpus.valid.to(torch::kInt64)).to(torch::kFloat64) / corpus.valid.numel();
  const double unigram = -torch::xlogy(share, share).sum().item<double>() / std::numbers::ln2;
  REQUIRE(unigram > 3.5);

  torch::manual_seed(1);
  CharLM model(CharLMOptions(corpus.vocabulary.size())
                   .embedding_size(16)
                   .hidden_sizes({48, 32})
                   .output_embedding_size(48)
                   .core(core));
  TextTask task(model, corpus, {}, {.batch = 16, .window = 25, .eval_streams = 16});
  const hmrnn::test::TemporaryFolder folder;
  Progress progress(nullptr);
  Trainer trainer(task, {.learning_rate = 0.01, .steps = 200, .eval_every = 1000}, RunFolder(folder / "run"), progress);
  trainer.start();
  trainer.run();
  const double bits = bits_per_character(*trainer.best_loss());
  INFO("unigram entropy " << unigram << ", model " << bits << " bits per character");
  CHECK(bits < unigram - 1);
}

TEST_CASE("a detector that fires always or never, where hardσ is flat, reaches its target rate") {
  const double bias = GENERATE(-3.0, 3.0);        // |a·s| > 1
  const double bias_speed = GENERATE(0.02, 0.0);  // 0: nothing can move it
  INFO("bias " << bias << ", a step of " << bias_speed);
  TextCorpusOptions options;
  options.synthetic_length = 20000;
  const auto corpus = load_text_corpus(options);
  torch::manual_seed(1);
  CharLM model(CharLMOptions(corpus.vocabulary.size())
                   .embedding_size(8)
                   .hidden_sizes({16, 12, 8})
                   .output_embedding_size(16)
                   .boundary_bias(bias));
  TextTask task(model, corpus, {},
                {.batch = 8, .window = 25, .boundary_cost = {.target_rate = {0.3, 0.1}, .bias_speed = bias_speed}});
  const hmrnn::test::TemporaryFolder folder;
  Progress progress(nullptr);
  Trainer trainer(task, {.learning_rate = 0.003, .steps = 600, .eval_every = 1000, .log_every = 200},
                  RunFolder(folder / "run"), progress);
  trainer.start();
  trainer.run();
  // How often layers 2 and 3 were updated in the last 200 windows: at least as often as the detector below fired.
  const auto updates =
      hmrnn::test::parsed_records(folder / "run", "train").back()["updates"].get<std::vector<double>>();
  REQUIRE(updates.size() == 3);
  INFO("updates " << updates[1] << ", " << updates[2]);
  if (bias_speed == 0) {
    CHECK(updates[1] == Approx(bias > 0 ? 1 : 0).margin(0.001));
    CHECK(updates[2] == Approx(bias > 0 ? 1 : 0).margin(0.001));
  } else {
    CHECK((updates[1] > 0.1 && updates[1] < 0.9));
    CHECK((updates[2] > 0.02 && updates[2] < 0.6));
  }
}

TEST_CASE("evaluation scores the same whatever the windows, and each character once") {
  TextCorpusOptions options;
  options.synthetic_length = 20000;
  const auto corpus = load_text_corpus(options);
  torch::manual_seed(2);
  CharLM model(
      CharLMOptions(corpus.vocabulary.size()).embedding_size(8).hidden_sizes({12, 9}).output_embedding_size(8));
  const auto text = corpus.test;
  const auto one = evaluate_text(model, TextStreams(text, 1, 200, true), torch::kCPU, 1).value();
  const auto other = evaluate_text(model, TextStreams(text, 1, 37, true), torch::kCPU, 1).value();
  CHECK(one.count == text.numel() - 1);
  CHECK(one.loss == Approx(other.loss).epsilon(1e-5));
  CHECK(one.updates[1] == Approx(other.updates[1]));
  const auto cut = evaluate_text(model, TextStreams(text, 7, 50, true), torch::kCPU, 1).value();
  CHECK(cut.count == text.numel() - 1);
  CHECK(cut.loss == Approx(one.loss).epsilon(0.02));

  // The definition of the loss, without windows, masks or batches: one long forward pass.
  const auto index = text.to(torch::kInt64).unsqueeze(1);
  torch::NoGradGuard no_grad;
  const auto logits = model->forward(index.narrow(0, 0, text.numel() - 1)).logits;
  CHECK(cross_entropy(logits, index.narrow(0, 1, text.numel() - 1)).item<double>() == Approx(one.loss).epsilon(1e-5));
}
