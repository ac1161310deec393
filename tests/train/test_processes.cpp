// Several processes that train one model make the updates of one process with the whole batch. Processes are threads
// here, each with its own group, task and trainer (tests/examples/test_torchrun.sh has real ones).
#include <fmt/format.h>

#include <cmath>
#include <stdexcept>
#include <thread>

#include "catch.h"
#include "hmrnn/error.h"
#include "hmrnn/run/process_group.h"
#include "support/temporary_folder.h"
#include "tasks/ink_fixture.h"
#include "train/train_in_group.h"

using namespace hmrnn;
using hmrnn::test::in_group;
using hmrnn::test::InkRun;
using hmrnn::test::records;
using hmrnn::test::same_tensors;
using hmrnn::test::SmallRun;
using hmrnn::test::TemporaryFolder;
using hmrnn::test::train_in_group;

namespace {

double worst_difference(const std::filesystem::path& a, const std::filesystem::path& b, const std::string& prefix) {
  const auto x = read_safetensors(a), y = read_safetensors(b);
  double worst = 0;
  int64_t compared = 0;
  for (const auto& [name, tensor] : x.tensors) {
    if (name.rfind(prefix, 0) != 0) continue;
    const auto other = y.find(name);
    REQUIRE(other.defined());
    REQUIRE(other.sizes() == tensor.sizes());
    ++compared;
    if (tensor.numel() > 0) worst = std::max(worst, (tensor - other).abs().max().item<double>());
  }
  REQUIRE(compared > 0);
  return worst;
}

void check_near(const nlohmann::json& a, const nlohmann::json& b, double bound) {
  if (a.is_structured()) {
    REQUIRE(a.size() == b.size());
    auto other = b.begin();
    for (auto it = a.begin(); it != a.end(); ++it, ++other) {
      if (a.is_object()) REQUIRE(it.key() == other.key());
      check_near(*it, *other, bound);
    }
  } else if (a.is_number()) {
    CHECK(std::abs(a.get<double>() - b.get<double>()) <= bound * (1 + std::abs(a.get<double>())));
  } else {
    CHECK(a == b);
  }
}

void check_near_records(const std::vector<std::string>& a, const std::vector<std::string>& b, double bound) {
  REQUIRE(a.size() == b.size());
  for (size_t i = 0; i < a.size(); ++i) {
    INFO(a[i] << "\n" << b[i]);
    check_near(nlohmann::json::parse(a[i]), nlohmann::json::parse(b[i]), bound);
  }
}

}  // namespace

// Nearly all without layer norm, which divides by the deviation of states that are nearly 0 at first, and so magnifies
// rounding: with gains of 1 the gradients of such a model explode, and so does the difference of two roundings.
// In float64 rounding practically never flips a boundary; in an untrained model of a few units float32 does it every
// few windows, so that float32 is compared with soft boundaries.
TEST_CASE("text: two and three processes do what one does") {
  SmallRun run;
  run.layer_norm = false;
  run.trainer.steps = 50;
  run.dtype = torch::kFloat64;
  double bound = 1e-10;
  SECTION("float64") {}
  SECTION("float64 with layer norm") {
    run.layer_norm = true;
    run.norm_gain = 0.1;
  }
  SECTION("float32") {
    run.dtype = torch::kFloat32;
    run.boundary = BoundaryMode::Soft;
    bound = 1e-5;
  }
  SECTION("the control") { run.core = Core::LSTM; }
  SECTION("target rates, roll, cap, averaged weights, weight decay, cosine") {
    run.dtype = torch::kFloat32;  // as averaged weights and costs are
    run.boundary = BoundaryMode::Soft;
    run.use_recipe();
    run.trainer.schedule = {.kind = ScheduleKind::Cosine, .warmup = 5, .final_rate = 1e-4, .length = 40};
    bound = 1e-5;
  }
  SECTION("given boundaries") { run.boundaries = "clock:3,9"; }
  SECTION("updates skipped for their gradient norm") { run.skip_above(0.2, 3); }
  SECTION("a window that is skipped") { run.bad_windows = {3, 11}; }
  SECTION("a return to a checkpoint") {
    run.return_to_checkpoint();
    run.trainer.schedule.kind = ScheduleKind::Constant;
    run.finish = [](const Trainer& trainer) {
      if (!trainer.recovered()) throw std::logic_error("the run has not returned to a checkpoint");
    };
  }
  const TemporaryFolder folder;
  const auto one = folder.path / "one";
  REQUIRE(run(one, false) == StopReason::Steps);
  for (const int64_t size : {2, 3}) {
    const auto many = folder.path / std::to_string(size);
    for (const auto reason : train_in_group(size, run, many, false)) CHECK(reason == StopReason::Steps);
    check_near_records(records(one), records(many), bound);
    CHECK(worst_difference(one / "last/model.safetensors", many / "last/model.safetensors", "") < bound);
    CHECK(worst_difference(one / "last/state.safetensors", many / "last/state.safetensors", "state.") < 10 * bound);
  }
}

TEST_CASE("handwriting: two processes do what one does, also with fewer lines than processes") {
  InkRun run;
  run.batch = 6;
  run.model.boundary(BoundaryMode::Soft).layer_norm(false);
  SECTION("whole lines") {}
  SECTION("windows and a target rate") {
    run.window = 8;
    run.boundary_cost.target_rate = {0.3};
  }
  const TemporaryFolder folder;
  const auto one = folder.path / "one";
  REQUIRE(run(one, false) == StopReason::Steps);
  for (const int64_t size : {2, 3}) {
    const auto many = folder.path / std::to_string(size);
    for (const auto reason : train_in_group(size, run, many, false)) CHECK(reason == StopReason::Steps);
    check_near_records(records(one), records(many), 1e-4);
    CHECK(worst_difference(one / "last/model.safetensors", many / "last/model.safetensors", "") < 1e-4);
  }
}

TEST_CASE("a group's run stopped by a signal in one process continues in another number of processes") {
  SmallRun run;
  run.layer_norm = false;
  run.trainer.steps = 34;
  run.boundary = BoundaryMode::Soft;
  const TemporaryFolder folder;
  const auto whole = folder.path / "whole", parts = folder.path / "parts", mixed = folder.path / "mixed";
  REQUIRE(train_in_group(2, run, whole, false)[0] == StopReason::Steps);
  auto stopped = run;
  stopped.stop = [](const Trainer& trainer) { return trainer.step() >= 13; };
  // A request to stop in one process stops all, after the same step.
  for (const auto reason : train_in_group(2, stopped, parts, false)) REQUIRE(reason == StopReason::Signal);
  std::filesystem::copy(parts, mixed, std::filesystem::copy_options::recursive);
  // Resumed by the same number of processes: the same bits.
  REQUIRE(train_in_group(2, run, parts, true)[0] == StopReason::Steps);
  CHECK(same_tensors(whole / "last/model.safetensors", parts / "last/model.safetensors"));
  CHECK(worst_difference(whole / "last/state.safetensors", parts / "last/state.safetensors", "adam.") == 0);
  CHECK(worst_difference(whole / "last/state.safetensors", parts / "last/state.safetensors", "state.") == 0);
  CHECK(records(whole) == records(parts));
  // Resumed by another number of processes, and by one without a group.
  auto alone = folder.path / "alone";
  std::filesystem::copy(mixed, alone, std::filesystem::copy_options::recursive);
  REQUIRE(train_in_group(3, run, mixed, true)[0] == StopReason::Steps);
  REQUIRE(run(alone, true) == StopReason::Steps);
  for (const auto& other : {mixed, alone}) {
    check_near_records(records(whole), records(other), 1e-5);
    CHECK(worst_difference(whole / "last/model.safetensors", other / "last/model.safetensors", "") < 1e-5);
  }
}

TEST_CASE("one process gets a request to save, and all of them save") {
  SmallRun run;
  run.layer_norm = false;
  run.boundary = BoundaryMode::Soft;
  run.trainer.steps = 12;
  run.trainer.eval_every = 1000;
  run.trainer.checkpoint_every = 1000;
  const TemporaryFolder folder;
  const auto path = folder.path / "run";
  std::vector<int64_t> saved_at(2, -1);
  in_group(2, [&](const ProcessGroup& group) {
    auto own = run;
    own.trainer.group = &group;
    own.rank = group.rank();
    own.ranks = 2;
    own.prepare = [&group](Trainer& trainer) {
      trainer.set_save_request([&group, &trainer] { return group.rank() == 1 && trainer.step() == 6; });
    };
    own.stop = [&](const Trainer& trainer) {
      if (trainer.step() == 11) {  // before the last step
        const auto metadata = read_safetensors(path / "last/state.safetensors").metadata.at("hmrnn");
        saved_at[static_cast<size_t>(group.rank())] = nlohmann::json::parse(metadata)["step"];
      }
      return false;
    };
    own(path, false);
  });
  CHECK(saved_at == std::vector<int64_t>{7, 7});  // the request is sent with the window that follows it
}

TEST_CASE("a folder that the first process cannot write ends no process early, and all of them at the end") {
  SmallRun run;
  run.layer_norm = false;
  run.trainer.steps = 12;
  run.boundary = BoundaryMode::Soft;
  const TemporaryFolder folder;
  const auto path = folder.path / "run";
  std::vector<int64_t> steps(2, -1);
  std::vector<std::string> errors(2);
  in_group(2, [&](const ProcessGroup& group) {
    const auto rank = static_cast<size_t>(group.rank());
    auto own = run;
    own.trainer.group = &group;
    own.rank = group.rank();
    own.ranks = 2;
    own.begin = [&](const Trainer&) {
      if (!group.leads()) return;
      std::filesystem::remove(path / "last/state.safetensors");
      std::filesystem::create_directories(path / "last/state.safetensors/in the way");
    };
    own.stop = [&](const Trainer& trainer) {
      steps[rank] = trainer.step();
      return false;
    };
    try {
      own(path, false);
    } catch (const Error& error) {
      errors[rank] = error.what();
    }
  });
  CHECK(steps == std::vector<int64_t>{12, 12});  // the last call is that of the evaluation at the end
  CHECK_THAT(errors[0], ContainsSubstring("state.safetensors"));
  CHECK(errors[1] == "process 1 of 2 ends, for the first one cannot go on");
}

TEST_CASE("what cannot be shared is refused") {
  SmallRun run;
  run.layer_norm = false;
  run.batch = 7;
  run.ranks = 2;
  const TemporaryFolder folder;
  CHECK_THROWS_WITH(run(folder.path / "run", false),
                    "7 streams to train on and 5 to validate on cannot be shared among 2 processes");
  InkRun ink;
  ink.ranks = 2;
  CHECK_THROWS_WITH(ink(folder.path / "ink", false), "a batch of 5 lines cannot be shared among 2 processes");
  run.batch = 8;
  ink.batch = 6;
  for (const auto& [rank, ranks] : std::vector<std::pair<int64_t, int64_t>>{{0, 0}, {2, 2}, {-1, 2}, {0, -1}}) {
    run.rank = ink.rank = rank;
    run.ranks = ink.ranks = ranks;
    const auto message = fmt::format("there is no process {} of {}", rank, ranks);
    CHECK_THROWS_WITH(run(folder.path / "run", false), message);
    CHECK_THROWS_WITH(ink(folder.path / "ink", false), message);
    CHECK_THROWS_WITH(rows_of_rank(10, rank, ranks), message);
  }
}
