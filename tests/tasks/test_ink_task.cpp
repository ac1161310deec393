// Handwriting with the Trainer: resume, learning, checkpoints, evaluation.
#include <cmath>

#include "catch.h"
#include "hmrnn/error.h"
#include "hmrnn/models/handwriting_checkpoint.h"
#include "hmrnn/tasks/evaluate_ink.h"
#include "support/temporary_folder.h"
#include "tasks/ink_fixture.h"

using namespace hmrnn;
using hmrnn::test::InkRun;
using hmrnn::test::records;
using hmrnn::test::same_tensors;
using hmrnn::test::short_ink;
using hmrnn::test::TemporaryFolder;
using hmrnn::test::tiny;

TEST_CASE("handwriting: a run stopped after any step ends as if it had not been stopped") {
  InkRun run;
  SECTION("whole lines") {}
  SECTION("windows with carried state, some of a smaller batch") { run.window = 8; }
  SECTION("Bernoulli boundaries and dropout") {
    run.model.boundary(BoundaryMode::Bernoulli).dropout(0.3);
    run.window = 8;
  }
  SECTION("the control") {
    run.model.core(Core::LSTM);
    run.window = 8;
  }
  const TemporaryFolder folder;
  const auto whole = folder.path / "whole", parts = folder.path / "parts";
  REQUIRE(run(whole, false) == StopReason::Steps);
  bool resume = false;
  for (const int64_t step : {1, 6, 7, 11, 12, 13, 20, 28, 33}) {
    run.stop = [step](const Trainer& trainer) { return trainer.step() >= step; };
    REQUIRE(run(parts, resume) == StopReason::Signal);
    resume = true;
  }
  run.stop = {};
  REQUIRE(run(parts, true) == StopReason::Steps);
  for (const char* file : {"last/model.safetensors", "last/state.safetensors", "best/model.safetensors"}) {
    INFO(file);
    CHECK(same_tensors(whole / file, parts / file));
  }
  CHECK(records(whole) == records(parts));
}

TEST_CASE("handwriting: records have the fields that are promised, and the log-likelihood of a line") {
  const TemporaryFolder folder;
  InkRun run;
  run.trainer.steps = 8;
  run(folder / "run", false);
  const auto corpus = short_ink(60, 20);
  const auto mean_targets = [&](const char* part) {
    double points = 0;
    for (const auto i : corpus.split(part)) points += static_cast<double>(corpus.lines[i].points.size() - 1);
    return points / static_cast<double>(corpus.split(part).size());
  };
  std::ifstream file(folder / "run/metrics.jsonl");
  size_t lines = 0;
  for (std::string line; std::getline(file, line); ++lines) {
    const auto json = nlohmann::json::parse(line);
    INFO(line);
    for (const auto* key : {"event", "step", "epoch", "loss", "log_likelihood", "grad_norm", "lr", "slope", "updates",
                            "points_per_second"}) {
      CHECK(json.contains(key));
    }
    CHECK(json.size() == 10);
    CHECK(json["log_likelihood"].get<double>() ==
          Approx(-json["loss"].get<double>() * mean_targets(json["event"] == "eval" ? "valid" : "train")));
  }
  CHECK(lines == 4);
}

TEST_CASE("handwriting: a few hundred updates raise the likelihood clearly, with both cores") {
  const auto core = GENERATE(Core::HMLSTM, Core::LSTM);
  const auto corpus = short_ink(300, 40);
  torch::manual_seed(1);
  HandwritingModel model(HandwritingOptions().hidden_sizes({24, 20}).output_embedding_size(24).mixtures(5).core(core));
  InkTask task(model, corpus, {.synthetic_lines = 300}, {.batch = 16});
  const auto before = task.evaluate({}).value();
  const TemporaryFolder folder;
  Progress progress(nullptr);
  Trainer trainer(task, {.learning_rate = 0.01, .steps = 150, .eval_every = 1000}, RunFolder(folder / "run"), progress);
  trainer.start();
  trainer.run();
  INFO("nats per point: " << before.loss << " before, " << *trainer.best_loss() << " after");
  CHECK(*trainer.best_loss() < before.loss - 1.5);
}

TEST_CASE("handwriting: evaluation is the definition, in double precision, line by line") {
  const auto corpus = short_ink(100, 30);
  torch::manual_seed(2);
  HandwritingModel model(tiny());
  const auto lines = corpus.split("all");
  const auto n = measure_ink(corpus, corpus.split("train"), InkCoordinates::Offsets);
  const auto sequences = ink_sequences(corpus, lines, n);
  const InkBatches batches(sequences, 9, 0, std::nullopt), windows(sequences, 64, 13, std::nullopt);
  const auto result = evaluate_ink(model, batches, torch::kCPU, 1).value();
  const auto other = evaluate_ink(model, windows, torch::kCPU, 1).value();
  CHECK(result.count == batches.targets());
  CHECK(other.loss == Approx(result.loss).epsilon(1e-5));
  CHECK(other.updates[1] == Approx(result.updates[1]));
  CHECK(result.updates[0] == 1);

  HandwritingModel exact(tiny());
  {
    const torch::NoGradGuard no_grad;
    auto to = exact->named_parameters();
    for (const auto& p : model->named_parameters()) to[p.key()].copy_(p.value());
  }
  exact->to(torch::kFloat64);
  exact->eval();
  const torch::NoGradGuard no_grad;
  double total = 0;
  for (const auto& s : sequences) {
    const auto x = s.to(torch::kFloat64);
    const auto raw = exact->forward(x.narrow(0, 0, x.size(0) - 1).unsqueeze(1)).raw.squeeze(1);
    total += mixture_log_density(read_mixture(raw), x.narrow(0, 1, x.size(0) - 1)).sum().item<double>();
  }
  CHECK(-result.loss * static_cast<double>(result.count) == Approx(total).epsilon(1e-4));
  CHECK_FALSE(evaluate_ink(model, batches, torch::kCPU, 1, [] { return true; }).has_value());
}

TEST_CASE("handwriting: a checkpoint gives back model, slope, normalisation and corpus, and refuses damage") {
  const TemporaryFolder folder;
  InkRun run;
  run.trainer.steps = 14;  // after the first epoch of 11 windows, so the slope has changed
  run(folder / "run", false);
  const auto path = folder / "run/last/model.safetensors";
  const auto checkpoint = load_handwriting(path);
  CHECK(checkpoint.step == 14);
  CHECK(checkpoint.model->slope() == Approx(1.5));
  CHECK(checkpoint.model->options.mixtures() == 3);
  CHECK(checkpoint.corpus.corpus == "synthetic");
  CHECK(checkpoint.corpus.synthetic_lines == 60);
  const auto corpus = short_ink(60, 20);
  const auto n = measure_ink(corpus, corpus.split("train"), InkCoordinates::Offsets);
  CHECK(checkpoint.normalisation.mean == n.mean);
  CHECK(checkpoint.normalisation.deviation == n.deviation);

  const auto file = read_safetensors(path);
  for (const auto& [name, parameter] : checkpoint.model->named_parameters().pairs()) {
    CHECK(torch::equal(file.find(name), parameter));
  }
  CHECK(file.tensors.size() == checkpoint.model->parameters().size());
  const auto refuses = [&](const SafeTensors& changed, const std::string& why) {
    write_safetensors(folder / "bad", changed);
    CHECK_THROWS_WITH(load_handwriting(folder / "bad"), ContainsSubstring("bad") && ContainsSubstring(why));
  };
  for (const auto& [key, value, why] : std::vector<std::tuple<std::string, nlohmann::json, std::string>>{
           {"kind", "char_lm", "not a handwriting model"},
           {"format", 9, "format"},
           {"mixtures", 4, "mixture.linear.weight"},
           {"mixtures", -1, "mixtures"},
           {"mixtures", 1LL << 60, "mixtures"},
           {"hidden_sizes", {8, 7, 1'000'000'000'000}, "layers.2.recurrent"},
           {"output_embedding_size", 10, "mixture.linear.weight"},
           {"normalisation", {{"coordinates", "offsets"}, {"mean", {0, 0}}, {"deviation", {1, 0}}}, "normalisation"},
           {"normalisation", {{"coordinates", "polar"}, {"mean", {0, 0}}, {"deviation", {1, 1}}}, "coordinates"},
           {"normalisation", {{"coordinates", "offsets"}, {"mean", {0}}, {"deviation", {1, 1}}}, "malformed"},
           {"corpus", {{"name", "synthetic"}}, "malformed"},
           {"slope", 0, "slope"}}) {
    auto changed = file;
    auto json = nlohmann::json::parse(file.metadata.at("hmrnn"));
    json[key] = value;
    changed.metadata["hmrnn"] = json.dump();
    INFO(key << " " << value);
    refuses(changed, why);
  }
  auto changed = file;
  changed.tensors.back().second = changed.tensors.back().second.clone();
  changed.tensors.back().second.view(-1)[0] = std::nan("");
  refuses(changed, "not finite");
}
