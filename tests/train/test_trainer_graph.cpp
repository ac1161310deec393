// Training with replayed windows equals training without a graph, bit for bit. The graph is the CPU substitute, which
// replays operators on the recorded tensors: a number of the host, or a tensor at another address, would change weights
// and records.
#include <torch/library.h>

#include <cmath>

#include "catch.h"
#include "hmrnn/ops/gated_output.h"
#include "support/temporary_folder.h"
#include "support/traced_graph.h"
#include "tasks/ink_fixture.h"
#include "train/train_in_group.h"

using namespace hmrnn;
using hmrnn::test::InkRun;
using hmrnn::test::records;
using hmrnn::test::same_tensors;
using hmrnn::test::SmallRun;
using hmrnn::test::TemporaryFolder;
using hmrnn::test::TracedGraph;
using hmrnn::test::train_in_group;

namespace {

torch::Tensor output_of_operators(at::TensorList h, const std::optional<at::Tensor>&, const at::Tensor& gates,
                                  at::TensorList embedding, std::optional<at::ScalarType>) {
  return reference_gated_output(h.vec(), gates, embedding.vec());
}

/// Builds the output module from ATen's operators for its lifetime, as on devices without their own kernels, so that
/// the graph records these.
class OutputOfOperators {
 public:
  OutputOfOperators() : library_(torch::Library::IMPL, "hmrnn", c10::DispatchKey::AutogradCPU, __FILE__, __LINE__) {
    library_.impl("gated_output", torch::CppFunction(&output_of_operators));
  }

 private:
  torch::Library library_;
};

/// Result of a training with a traced graph.
struct Traced {
  int64_t replayed = 0;
  std::map<std::string, int> host_reads;
};

/// The same run with every repeated window replayed.
template <typename Run>
Traced trace(Run run, const std::filesystem::path& folder, const std::vector<int64_t>& stops = {}) {
  Traced out;
  bool resume = false;
  for (size_t part = 0; part <= stops.size(); ++part) {
    TracedGraph* graph = nullptr;
    run.prepare = [&](Trainer& trainer) {
      auto owned = std::make_unique<TracedGraph>();
      graph = owned.get();
      trainer.use_graphs(std::move(owned));
    };
    run.stop = [&, part](const Trainer& trainer) {
      if (trainer.runner().captured() > 0) out.host_reads = graph->host_reads();
      if (part == stops.size() || trainer.step() < stops[part]) return false;
      return true;
    };
    run.finish = [&](const Trainer& trainer) { out.replayed += trainer.runner().replayed(); };
    const auto reason = run(folder, resume);
    REQUIRE(reason == (part < stops.size() ? StopReason::Signal : StopReason::Steps));
    resume = true;
  }
  return out;
}

void check_same_replayed_run(const std::filesystem::path& plain, const std::filesystem::path& replayed) {
  for (const char* file : {"last/model.safetensors", "last/state.safetensors", "best/model.safetensors"}) {
    INFO(file);
    CHECK(same_tensors(plain / file, replayed / file));
  }
  CHECK(records(plain) == records(replayed));
}

}  // namespace

TEST_CASE("timing windows leaves a run as it was, at its start and where it is taken up") {
  SmallRun run;
  run.trainer.steps = 40;
  SECTION("dropout and Bernoulli boundaries draw random numbers") {
    run.boundary = BoundaryMode::Bernoulli;
    run.dropout = 0.3;
  }
  SECTION("a whole recipe, which has more of a state") { run.use_recipe(); }
  SECTION("updates that are not finite, among those timed too") { run.bad_windows = {0, 1, 9, 16}; }
  const TemporaryFolder folder;
  const auto plain = folder.path / "plain", timed = folder.path / "timed";
  REQUIRE(run(plain, false) == StopReason::Steps);
  int calls = 0;
  run.begin = [&](Trainer& trainer) {
    const auto step = trainer.step();
    const auto times = trainer.time_windows(4, 30, 60);  // beyond the end of the epoch
    CHECK((times.seconds > 0 && times.seconds < 60));
    CHECK((times.loss > 0 && times.loss < 10));
    CHECK(trainer.time_windows(4, 1, 60).loss == times.loss);  // the same windows with the same model
    CHECK(std::isnan(trainer.time_windows(0, 1, 60).loss));
    CHECK(trainer.step() == step);
    ++calls;
  };
  run.stop = [](const Trainer& trainer) { return trainer.step() >= 15; };
  REQUIRE(run(timed, false) == StopReason::Signal);
  run.stop = {};
  REQUIRE(run(timed, true) == StopReason::Steps);
  check_same_replayed_run(plain, timed);
  CHECK(calls == 2);
}

TEST_CASE("of windows that are timed no more are run than the budget allows, and the graph of none is kept") {
  SmallRun run;
  run.trainer.steps = 10;
  const OutputOfOperators composite;
  const TemporaryFolder folder;
  TracedGraph* graph = nullptr;
  run.prepare = [&](Trainer& trainer) {
    auto owned = std::make_unique<TracedGraph>();
    graph = owned.get();
    trainer.use_graphs(std::move(owned));
  };
  run.begin = [&](Trainer& trainer) {
    trainer.time_windows(WindowRunner::kWarmUp + 1, 1000, 0);
    CHECK(graph->replays == 1);
    trainer.time_windows(WindowRunner::kWarmUp + 1, 3, 60);
    CHECK(graph->replays == 1 + 3);
    CHECK(trainer.runner().captured() == 2);
  };
  run.finish = [&](const Trainer& trainer) { CHECK(trainer.runner().captured() == 3); };
  REQUIRE(run(folder.path / "run", false) == StopReason::Steps);
}

TEST_CASE("text: training by replays is training by launches, through epochs, annealing, the rate's drop and resumes") {
  SmallRun run;
  run.trainer.steps = 64;  // epochs of 29 windows: two resets of the state and two increases of the slope
  run.trainer.schedule.patience = 1;
  run.trainer.learning_rate = 0.4;  // so high that validation gets worse and the rate drops
  SECTION("step boundaries") {}
  SECTION("Bernoulli boundaries and dropout") {
    run.boundary = BoundaryMode::Bernoulli;
    run.dropout = 0.3;
  }
  SECTION("soft boundaries") { run.boundary = BoundaryMode::Soft; }
  SECTION("the control") { run.core = Core::LSTM; }
  SECTION("a whole recipe: roll, target rates, detector cap, averaged weights, weight decay") { run.use_recipe(); }
  SECTION("regularisers") { run.regularise(); }
  SECTION("the control's regularisers") {
    run.core = Core::LSTM;
    run.regularise();
  }
  SECTION("updates that are not finite") { run.bad_windows = {0, 9, 10, 20}; }
  const OutputOfOperators composite;
  const TemporaryFolder folder;
  const auto plain = folder.path / "plain", whole = folder.path / "whole", parts = folder.path / "parts";
  REQUIRE(run(plain, false) == StopReason::Steps);
  std::set<double> rates, slopes;
  for (const auto& record : records(plain)) {
    const auto json = nlohmann::json::parse(record);
    rates.insert(json["lr"].get<double>());
    slopes.insert(json["slope"].get<double>());
  }
  CHECK(rates.size() == 2);
  CHECK(slopes.size() == 3);

  const auto traced = trace(run, whole);
  check_same_replayed_run(plain, whole);
  CHECK(traced.replayed == 64 - WindowRunner::kWarmUp - 1);
  CHECK(traced.host_reads.empty());
  const auto resumed = trace(run, parts, {2, 15, 30, 44});
  check_same_replayed_run(plain, parts);
  CHECK(resumed.replayed == 64 - 2 - 4 * (WindowRunner::kWarmUp + 1));
}

TEST_CASE("training gives up at the same step when the updates that are not finite are replayed") {
  SmallRun run;
  run.trainer.steps = 40;
  run.trainer.max_skipped = 3;
  run.bad_windows = {6, 8, 9, 14, 15, 16};
  const OutputOfOperators composite;
  const TemporaryFolder folder;
  for (const bool traced : {false, true}) {
    int64_t skipped = 0;
    run.prepare = [&](Trainer& trainer) {
      if (traced) trainer.use_graphs(std::make_unique<TracedGraph>());
    };
    run.stop = [&](const Trainer& trainer) {
      skipped = trainer.skipped();
      return false;
    };
    CHECK_THROWS_WITH(run(folder.path / (traced ? "traced" : "plain"), false),
                      ContainsSubstring("3 updates in a row up to step 17 "));
    CHECK(skipped == 5);  // of the 16 windows before
  }
}

TEST_CASE("handwriting: windows of the captured layout are replayed, those of other lengths and batches launched") {
  InkRun run;
  run.window = 3;  // lines of 20 to 30 points: most windows are full, the last one of a line is not, one batch is
                   // smaller
  SECTION("step boundaries") {}
  SECTION("Bernoulli boundaries and dropout") { run.model.boundary(BoundaryMode::Bernoulli).dropout(0.3); }
  const OutputOfOperators composite;
  const TemporaryFolder folder;
  const auto plain = folder.path / "plain", whole = folder.path / "whole", parts = folder.path / "parts";
  run.trainer.steps = 150;
  REQUIRE(run(plain, false) == StopReason::Steps);
  const auto traced = trace(run, whole);
  check_same_replayed_run(plain, whole);
  INFO("replayed " << traced.replayed);
  CHECK(traced.replayed > 75);
  CHECK(traced.replayed < 150 - WindowRunner::kWarmUp - 1);
  CHECK(traced.host_reads.empty());
  trace(run, parts, {40, 99});
  check_same_replayed_run(plain, parts);
}

TEST_CASE("handwriting: whole lines, of which no two batches are alike, are launched") {
  InkRun run;
  const TemporaryFolder folder;
  REQUIRE(run(folder.path / "plain", false) == StopReason::Steps);
  CHECK(trace(run, folder.path / "whole").replayed == 0);
  check_same_replayed_run(folder.path / "plain", folder.path / "whole");
}

namespace {

/// Runs `size` processes without graphs and with them, and checks that they do the same. Returns the replays of the
/// windows and those of the updates, of all processes together.
template <typename Run>
std::pair<int64_t, int64_t> compare_replays_in_group(Run run, int64_t size) {
  const OutputOfOperators composite;
  const TemporaryFolder folder;
  const auto plain = folder.path / "plain", replayed = folder.path / "replayed";
  for (const auto reason : train_in_group(size, run, plain, false)) REQUIRE(reason == StopReason::Steps);
  std::mutex mutex;
  std::pair<int64_t, int64_t> replays;
  std::map<const Trainer*, std::array<TracedGraph*, 2>> graphs;
  run.prepare = [&](Trainer& trainer) {
    auto window = std::make_unique<TracedGraph>(), update = std::make_unique<TracedGraph>();
    const std::lock_guard<std::mutex> lock(mutex);
    graphs[&trainer] = {window.get(), update.get()};
    trainer.use_graphs(std::move(window), std::move(update));
  };
  run.finish = [&](const Trainer& trainer) {
    const std::lock_guard<std::mutex> lock(mutex);
    replays.first += trainer.runner().replayed();
    replays.second += trainer.update_runner().replayed();
    for (const auto* graph : graphs.at(&trainer)) {
      if (!graph->host_reads().empty()) throw std::logic_error("the host reads a tensor during a capture");
    }
  };
  for (const auto reason : train_in_group(size, run, replayed, false)) REQUIRE(reason == StopReason::Steps);
  check_same_replayed_run(plain, replayed);
  return replays;
}

}  // namespace

TEST_CASE("text: processes that replay windows, sum, and replay updates do what they do by launches") {
  const auto size = GENERATE(1, 2);
  SmallRun run;
  run.layer_norm = false;
  run.trainer.steps = 40;
  auto launched = WindowRunner::kWarmUp + 1;
  SECTION("a step") {}
  SECTION("a whole recipe") { run.use_recipe(); }
  SECTION("updates that are not finite") { run.bad_windows = {0, 9, 10, 20}; }
  SECTION("a return to a checkpoint") {
    run.return_to_checkpoint();
    launched += WindowRunner::kWarmUp + 1 - 6;  // windows 10 to 15 run twice
  }
  const auto expected = size * (40 - launched);
  CHECK(compare_replays_in_group(run, size) == std::pair<int64_t, int64_t>(expected, expected));
}

TEST_CASE("handwriting: a process all of whose lines have ended launches its window") {
  InkRun run;
  run.model.boundary(BoundaryMode::Soft).layer_norm(false);
  run.batch = 6;
  run.window = 1;
  run.trainer.steps = 150;
  run.boundary_cost.target_rate = {0.3};
  const auto [alone, updates_alone] = compare_replays_in_group(run, 1);
  const auto [windows, updates] = compare_replays_in_group(run, 2);
  CHECK((alone == updates_alone && windows == updates));
  CHECK(alone > 75);
  CHECK(windows < 2 * alone);  // there were such windows
  CHECK(windows > 75 * 2);
}

namespace {

/// Uses a number of the host, which a graph would bake in.
class BakingTask : public TextTask {
 public:
  using TextTask::TextTask;
  LoadedWindow load(int64_t epoch, int64_t window) override {
    factor_ = window % 2 == 0 ? 1 : 0.5;
    return TextTask::load(epoch, window);
  }
  WindowLoss forward() override {
    auto out = TextTask::forward();
    out.loss = out.loss * factor_;
    return out;
  }
  double factor_ = 1;
};

}  // namespace

TEST_CASE("a task that bakes a number in is found out by the traced graph") {
  const OutputOfOperators composite;
  const TemporaryFolder folder;
  TextCorpusOptions text;
  text.synthetic_length = 4000;
  const auto corpus = load_text_corpus(text);
  std::vector<double> losses;
  for (const bool traced : {false, true}) {
    torch::manual_seed(1);
    CharLM model(
        CharLMOptions(corpus.vocabulary.size()).embedding_size(6).hidden_sizes({8, 7}).output_embedding_size(9));
    BakingTask task(model, corpus, {}, {.batch = 6, .window = 20, .eval_streams = 5});
    Progress progress(nullptr);
    Trainer trainer(task, {.steps = 9}, RunFolder(folder / (traced ? "traced" : "plain")), progress);
    if (traced) trainer.use_graphs(std::make_unique<TracedGraph>());
    trainer.start();
    trainer.run();
    losses.push_back(trainer.best_loss().value());
  }
  CHECK(losses[0] != losses[1]);
}
