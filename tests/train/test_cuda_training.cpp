// Training on a GPU: graphs against launches bit for bit, checkpoints between GPU and CPU, out of memory.
#include <atomic>

#include "catch.h"
#include "hmrnn/error.h"
#include "hmrnn/io/checkpoint.h"
#include "hmrnn/models/char_lm_checkpoint.h"
#include "hmrnn/run/out_of_memory.h"
#include "hmrnn/tasks/evaluate_text.h"
#include "run/in_group.h"
#include "support/cuda.h"
#include "support/stalling_sums.h"
#include "support/temporary_folder.h"
#include "tasks/ink_fixture.h"

using namespace hmrnn;
using hmrnn::test::find_cuda;
using hmrnn::test::InkRun;
using hmrnn::test::is_emulated;
using hmrnn::test::parsed_records;
using hmrnn::test::PersistentWindows;
using hmrnn::test::records;
using hmrnn::test::same_tensors;
using hmrnn::test::SmallRun;
using hmrnn::test::StallingSums;
using hmrnn::test::TemporaryFolder;

namespace {

void check_same_cuda_run(const std::filesystem::path& a, const std::filesystem::path& b) {
  for (const char* file : {"last/model.safetensors", "last/state.safetensors", "best/model.safetensors"}) {
    INFO(file);
    CHECK(same_tensors(a / file, b / file));
  }
  CHECK(records(a) == records(b));
}

/// Runs to the end with launches, with graphs, and with graphs in parts. With `rate_drops` the learning rate must have
/// dropped on the way. Returns the number of replays in the second run.
template <typename Run>
int64_t compare_graphs_with_launches(Run run, const std::vector<int64_t>& stops, bool rate_drops = false) {
  const TemporaryFolder folder;
  const auto plain = folder.path / "plain", whole = folder.path / "whole", parts = folder.path / "parts";
  run.trainer.cuda_graph = false;
  REQUIRE(run(plain, false) == StopReason::Steps);
  run.trainer.cuda_graph = true;
  int64_t replayed = 0;
  run.finish = [&](const Trainer& trainer) { replayed = trainer.runner().replayed(); };
  REQUIRE(run(whole, false) == StopReason::Steps);
  run.finish = {};
  check_same_cuda_run(plain, whole);
  if (rate_drops) {
    const auto trained = parsed_records(plain, "train");
    CHECK(trained.back()["lr"].get<double>() < trained.front()["lr"].get<double>());
  }
  bool resume = false;
  for (const auto step : stops) {
    run.stop = [step](const Trainer& trainer) { return trainer.step() >= step; };
    REQUIRE(run(parts, resume) == StopReason::Signal);
    resume = true;
  }
  run.stop = {};
  // Windows that are only timed must not change the run.
  run.begin = [](Trainer& trainer) { trainer.time_windows(WindowRunner::kWarmUp + 1, 2, 1e9); };
  REQUIRE(run(parts, resume) == StopReason::Steps);
  check_same_cuda_run(plain, parts);
  return replayed;
}

}  // namespace

TEST_CASE("text on a GPU: a graph's replays are plain launches, bit for bit", "[cuda]") {
  const auto device = find_cuda();
  if (!device) return;
  SmallRun run;
  run.device = *device;
  run.trainer.steps = 40;
  run.trainer.learning_rate = 0.4;  // validation gets worse, so the rate drops
  SECTION("step boundaries") {}
  SECTION("Bernoulli boundaries and dropout") {
    run.boundary = BoundaryMode::Bernoulli;
    run.dropout = 0.3;
  }
  SECTION("the control") { run.core = Core::LSTM; }
  SECTION("updates that are not finite") { run.bad_windows = {0, 9, 10, 20}; }
  CHECK(compare_graphs_with_launches(run, {2, 15, 30}, /*rate_drops=*/true) == 40 - WindowRunner::kWarmUp - 1);
}

TEST_CASE("text on a GPU, one process of a group: the replays of windows and updates are plain launches", "[cuda]") {
  const auto device = find_cuda();
  if (!device) return;
  SmallRun run;
  run.device = *device;
  run.trainer.steps = 30;
  run.trainer.ema = 0.9;
  run.boundary_cost.target_rate = {0.3, 0.1};
  const TemporaryFolder folder;
  const auto alone = folder.path / "alone", launched = folder.path / "launched", replayed = folder.path / "replayed";
  REQUIRE(run(alone, false) == StopReason::Steps);
  const auto group = ProcessGroup::from_file((folder.path / "store").string(), 0, 1, std::chrono::seconds(60));
  run.trainer.group = group.get();
  run.trainer.cuda_graph = false;
  REQUIRE(run(launched, false) == StopReason::Steps);
  run.trainer.cuda_graph = true;
  run.finish = [](const Trainer& trainer) {
    CHECK(trainer.runner().replayed() == 30 - WindowRunner::kWarmUp - 1);
    CHECK(trainer.update_runner().replayed() == 30 - WindowRunner::kWarmUp - 1);
  };
  REQUIRE(run(replayed, false) == StopReason::Steps);
  check_same_cuda_run(launched, replayed);
  // LibTorch's norms may sum in another order where gradients are parts of one tensor.
  if (is_emulated(*device)) check_same_cuda_run(alone, replayed);
}

TEST_CASE("a training whose sum over GPUs stalls ends with an error within the timeout", "[cuda]") {
  const auto device = find_cuda();
  if (!device) return;
  const StallingSums sums;
  const TemporaryFolder folder;
  std::atomic<int64_t> last{0};
  const auto train = [&](ProcessGroup& group) {
    group.use_device(*device);
    SmallRun run;
    run.device = *device;
    run.trainer.steps = 30;
    // Nothing else than the sum waits.
    run.trainer.log_every = run.trainer.eval_every = run.trainer.checkpoint_every = 1000;
    run.trainer.cuda_graph = false;  // threads in the role of processes cannot capture at the same time
    run.trainer.group = &group;
    run.rank = group.rank();
    run.ranks = 2;
    run.stop = [&](const Trainer& trainer) {
      last = trainer.step();
      if (trainer.step() == 6) StallingSums::stalled = true;
      return false;
    };
    run(folder.path / "run", false);
  };
  CHECK_THROWS_WITH(hmrnn::test::in_group(2, train, std::chrono::seconds(5)),
                    ContainsSubstring("process 0 of 2 waited for a sum over the GPUs of all processes"));
  CHECK((last >= 6 && last <= 8));
}

TEST_CASE("text on a GPU, each window one kernel: a graph's replays are plain launches", "[cuda][persistent]") {
  const auto device = find_cuda();
  if (!device) return;
  SmallRun run;
  run.device = *device;
  run.units = {32, 16};
  run.batch = 16;
  run.window = 5;
  run.product_dtype = torch::kBFloat16;
  run.trainer.steps = 24;
  const PersistentWindows on;
  const auto before = cuda_persistent_windows();
  CHECK(compare_graphs_with_launches(run, {2, 15}) == 24 - WindowRunner::kWarmUp - 1);
  CHECK(cuda_persistent_windows() > before);
}

TEST_CASE("handwriting on a GPU: a graph's replays are plain launches, bit for bit", "[cuda]") {
  const auto device = find_cuda();
  if (!device) return;
  InkRun run;
  run.device = *device;
  run.window = 3;
  run.trainer.steps = 80;
  SECTION("step boundaries") {}
  SECTION("Bernoulli boundaries and dropout") { run.model.boundary(BoundaryMode::Bernoulli).dropout(0.3); }
  const auto replayed = compare_graphs_with_launches(run, {30, 55});
  CHECK(replayed > 40);
  CHECK(replayed < 80);
}

TEST_CASE("a run goes from a GPU to the CPU and back", "[cuda]") {
  const auto device = find_cuda();
  if (!device) return;
  const TemporaryFolder folder;
  const auto path = folder.path / "run";
  SmallRun run;
  run.trainer.learning_rate = 0.01;
  run.trainer.steps = 21;
  // With step boundaries, rounding changes whole segments after a few updates.
  int64_t updates = 1;
  SECTION("step boundaries, one update on each") {}
  SECTION("soft boundaries, seven updates on each") {
    run.boundary = BoundaryMode::Soft;
    updates = 7;
  }
  run.device = *device;
  REQUIRE(run(path, false) == StopReason::Steps);

  // the saved model is the one that was validated on the GPU
  const auto checkpoint = load_char_lm(path / "last/model.safetensors");
  CHECK(checkpoint.model->parameters()[0].device().is_cpu());
  TextCorpusOptions options;
  options.synthetic_length = run.text;
  const auto corpus = load_text_corpus(options);
  const auto on_cpu = evaluate_text(checkpoint.model, TextStreams(corpus.valid, 5, 50, true), torch::kCPU, 1).value();
  const auto recorded = nlohmann::json::parse(records(path).back());
  REQUIRE(recorded["event"] == "eval");
  CHECK(on_cpu.loss == Approx(recorded["loss"].get<double>()).epsilon(1e-3));

  std::filesystem::copy(path, folder.path / "gpu", std::filesystem::copy_options::recursive);
  run.trainer.steps = 21 + updates;
  REQUIRE(run(folder.path / "gpu", true) == StopReason::Steps);
  run.device = torch::kCPU;
  REQUIRE(run(path, true) == StopReason::Steps);
  // the same updates from the same state
  const auto gpu = read_safetensors(folder.path / "gpu/last/model.safetensors");
  const auto cpu = read_safetensors(path / "last/model.safetensors");
  const auto before = pack_module(*checkpoint.model, false);
  for (const auto& [name, tensor] : cpu.tensors) {
    INFO(name);
    CHECK(torch::allclose(tensor, gpu.find(name), 0, 1e-4));  // an update changes them by about 2e-3
    CHECK_FALSE(torch::equal(tensor, before.find(name)));
  }
  run.device = *device;
  run.trainer.steps = 35;
  REQUIRE(run(path, true) == StopReason::Steps);
  const size_t evaluations_at_the_end = updates == 7 ? 0 : 1;  // in addition to those at each 7th step
  CHECK(records(path).size() == 8 + 5 + evaluations_at_the_end);
}

TEST_CASE("a batch that does not fit into a GPU is named in one line", "[cuda]") {
  const auto device = find_cuda();
  if (!device) return;
  const TemporaryFolder folder;
  TextCorpusOptions options;
  options.synthetic_length = 9'000'000;
  const auto corpus = load_text_corpus(options);
  CharLM model(CharLMOptions(corpus.vocabulary.size()).embedding_size(64).hidden_sizes({2048, 2048, 2048}));
  const auto train = [&] {
    TextTask task(model, corpus, {},
                  {.batch = 65536, .window = 100, .device = *device});  // 53 GB for the h of one layer
    Progress progress(nullptr);
    Trainer trainer(task, {.steps = 1}, RunFolder(folder / "run"), progress);
    trainer.start();
    trainer.run();
  };
  try {
    with_memory_errors_of("hm_lstm 2048,2048,2048, batch 65536, window 100", train);
    FAIL("it fits");
  } catch (const Error& error) {
    const std::string text = error.what();
    CHECK_THAT(text, ContainsSubstring("out of memory on the device: hm_lstm 2048,2048,2048, batch 65536"));
    CHECK_THAT(text, ContainsSubstring("asked for ") && ContainsSubstring("GiB free"));
    CHECK(text.find('\n') == std::string::npos);
  }
  // the device still works
  CHECK(torch::ones({1000}, *device).sum().item<float>() == 1000);
}
