// A run that is stopped after any step and resumed ends with the same weights, bit for bit, and the same records.
#include "catch.h"
#include "hmrnn/error.h"
#include "support/temporary_folder.h"
#include "train/trainer_fixture.h"

using namespace hmrnn;
using hmrnn::test::records;
using hmrnn::test::same_tensors;
using hmrnn::test::SmallRun;
using hmrnn::test::TemporaryFolder;

namespace {

constexpr int64_t kSteps = 34;  // more than an epoch of 29 windows, so the streams restart and the slope changes

/// The steps of the records of a resume.
std::vector<int64_t> resumes(const std::filesystem::path& folder) {
  std::ifstream file(folder / "metrics.jsonl");
  std::vector<int64_t> out;
  for (std::string line; std::getline(file, line);) {
    const auto json = nlohmann::json::parse(line);
    if (json["event"] == "resume") out.push_back(json["step"].get<int64_t>());
  }
  return out;
}

/// Makes the run return from step 16 to step 10.
void diverge(SmallRun& run) {
  for (int64_t window = 12; window < 28; ++window) run.bad_windows.insert(window);
  run.bad_until_recovery = true;
  run.trainer.recover = true;
  run.trainer.max_skipped = 4;
}

void check_same_run(const std::filesystem::path& whole, const std::filesystem::path& parts) {
  CHECK(same_tensors(whole / "last/model.safetensors", parts / "last/model.safetensors"));
  CHECK(same_tensors(whole / "last/state.safetensors", parts / "last/state.safetensors"));
  CHECK(same_tensors(whole / "best/model.safetensors", parts / "best/model.safetensors"));
  const auto averaged = std::filesystem::path("best_ema/model.safetensors");
  REQUIRE(std::filesystem::exists(whole / averaged) == std::filesystem::exists(parts / averaged));
  if (std::filesystem::exists(whole / averaged)) CHECK(same_tensors(whole / averaged, parts / averaged));
  CHECK(records(whole) == records(parts));
}

/// Stops a run by a signal at each of the steps `at`, and resumes it, to the end.
void run_in_parts(SmallRun run, const std::filesystem::path& folder, const std::vector<int64_t>& at) {
  bool resume = false;
  for (const auto step : at) {
    run.stop = [step](const Trainer& trainer) { return trainer.step() >= step; };
    REQUIRE(run(folder, resume) == StopReason::Signal);
    resume = true;
  }
  run.stop = {};
  REQUIRE(run(folder, resume) == StopReason::Steps);
}

}  // namespace

TEST_CASE("a run stopped after any step ends as if it had not been stopped") {
  SmallRun run;
  run.trainer.steps = kSteps;
  SECTION("step boundaries") {}
  SECTION("Bernoulli boundaries and dropout draw the same numbers") {
    run.boundary = BoundaryMode::Bernoulli;
    run.dropout = 0.3;
  }
  SECTION("soft boundaries") { run.boundary = BoundaryMode::Soft; }
  SECTION("the control") { run.core = Core::LSTM; }
  SECTION("a whole recipe: roll, target rates, detector cap, averaged weights, weight decay, warm-up and cosine") {
    run.use_recipe();
    run.trainer.schedule = {.kind = ScheduleKind::Cosine, .warmup = 5, .final_rate = 1e-4, .length = 40};
  }
  SECTION("given boundaries") { run.boundaries = "clock:3,9"; }
  SECTION("updates skipped for their gradient norm") { run.skip_above(2, 1); }
  SECTION("regularisers draw the same masks") { run.regularise(); }
  SECTION("the control's regularisers draw the same masks") {
    run.core = Core::LSTM;
    run.regularise();
  }
  const TemporaryFolder folder;
  REQUIRE(run(folder.path / "whole", false) == StopReason::Steps);
  REQUIRE(records(folder.path / "whole").size() == 8 + 4 + 1);  // each 4th step, each 7th step, the end
  // at, before and between records, validations, checkpoints and the end of the epoch
  run_in_parts(run, folder.path / "parts", {1, 6, 7, 8, 13, 20, 28, 29, 30, 33, 34});
  check_same_run(folder.path / "whole", folder.path / "parts");
}

TEST_CASE("a run that goes back to a checkpoint goes back to the same one wherever it was stopped") {
  SmallRun run;
  run.trainer.steps = kSteps;
  run.boundary = BoundaryMode::Bernoulli;
  run.dropout = 0.3;
  run.trainer.ema = 0.9;
  diverge(run);
  const TemporaryFolder folder;
  REQUIRE(run(folder.path / "whole", false) == StopReason::Steps);
  REQUIRE(records(folder.path / "whole").size() == 8 + 4 + 1 + 1);
  // next to the checkpoint, where its state is kept, within the bad windows, at a save among them, and after all of it
  for (const std::vector<int64_t>& at :
       std::vector<std::vector<int64_t>>{{5}, {9}, {10}, {11}, {12}, {13}, {15}, {6, 10, 11, 13, 14, 15, 17, 18, 30}}) {
    INFO("stopped at " << at[0] << " and " << at.size() - 1 << " more steps");
    const auto parts = folder.path / ("parts" + std::to_string(at[0]));
    run_in_parts(run, parts, at);
    check_same_run(folder.path / "whole", parts);
  }
}

TEST_CASE("a run that ended at a limit continues as if the limit had been higher") {
  SmallRun run;
  const TemporaryFolder folder;
  run.trainer.steps = kSteps;
  REQUIRE(run(folder.path / "whole", false) == StopReason::Steps);
  run.trainer.steps = 17;  // its last validation does not occur in the whole run
  REQUIRE(run(folder.path / "parts", false) == StopReason::Steps);
  REQUIRE(run(folder.path / "parts", true) == StopReason::Steps);  // nothing left to do
  run.trainer.steps = kSteps;
  REQUIRE(run(folder.path / "parts", true) == StopReason::Steps);
  CHECK(same_tensors(folder.path / "whole/last/state.safetensors", folder.path / "parts/last/state.safetensors"));
  CHECK(records(folder.path / "parts").size() == records(folder.path / "whole").size() + 1);
}

TEST_CASE("a crash between two saves is made good from the last state, without doubled or torn records") {
  SmallRun run;
  run.trainer.steps = kSteps;
  const TemporaryFolder folder;
  const auto whole = folder.path / "whole", crashed = folder.path / "crashed";
  run(whole, false);
  // The files if the process dies at step 14, during validation: the state of step 10, the model of a later step, more
  // records, and an incomplete line.
  run.stop = [&](const Trainer& trainer) {
    if (trainer.step() == 11) std::filesystem::copy(crashed / "last", folder.path / "old");
    return trainer.step() == 18;
  };
  run.trainer.checkpoint_every = 10;
  REQUIRE(run(crashed, false) == StopReason::Signal);
  run.trainer.checkpoint_every = 5;
  std::filesystem::copy_file(folder.path / "old/state.safetensors", crashed / "last/state.safetensors",
                             std::filesystem::copy_options::overwrite_existing);
  std::ofstream(crashed / "metrics.jsonl", std::ios::app) << R"({"event":"train","step":20,"lo)";
  run.stop = {};
  REQUIRE(run(crashed, true) == StopReason::Steps);
  check_same_run(whole, crashed);
}

TEST_CASE("a validation that a signal interrupts is made up for by the resume") {
  SmallRun run;
  run.trainer.steps = kSteps;
  const TemporaryFolder folder;
  run(folder.path / "whole", false);
  run.stop = [](const Trainer& trainer) { return trainer.step() == 14; };
  REQUIRE(run(folder.path / "parts", false) == StopReason::Signal);
  CHECK(resumes(folder.path / "parts").empty());
  for (const auto& record : records(folder.path / "parts")) {
    const auto json = nlohmann::json::parse(record);
    CHECK_FALSE((json["event"] == "eval" && json["step"] == 14));
  }
  run.stop = {};
  run(folder.path / "parts", true);
  check_same_run(folder.path / "whole", folder.path / "parts");
  CHECK(resumes(folder.path / "parts") == std::vector<int64_t>{14});
}

TEST_CASE("an evaluation that fails, as for lack of memory, loses no step") {
  const TemporaryFolder folder;
  SmallRun run;
  run.trainer.steps = 20;
  run.trainer.checkpoint_every = 14;  // the save that is due after the evaluation of the same step
  REQUIRE(run(folder / "whole", false) == StopReason::Steps);
  int64_t evaluations = 0;
  const auto fail_at_second = [&] {
    if (++evaluations == 2) throw std::bad_alloc();
  };
  SECTION("before its result") { run.before_evaluation = fail_at_second; }
  SECTION("with its result, which the resume must find again") { run.before_record = fail_at_second; }
  CHECK_THROWS_AS(run(folder / "run", false), std::bad_alloc);
  const auto state = read_safetensors(folder / "run/last/state.safetensors");
  CHECK(nlohmann::json::parse(state.metadata.at("hmrnn"))["step"] == 14);
  run.before_evaluation = run.before_record = {};
  REQUIRE(run(folder / "run", true) == StopReason::Steps);
  CHECK(same_tensors(folder / "run/last/model.safetensors", folder / "whole/last/model.safetensors"));
  CHECK(records(folder / "run") == records(folder / "whole"));
}

TEST_CASE("a resume refuses what it cannot take up") {
  SmallRun run;
  run.trainer.steps = 2;
  const TemporaryFolder folder;
  CHECK_THROWS_WITH(run(folder.path / "none", true), ContainsSubstring("no run to resume"));
  CHECK_FALSE(std::filesystem::exists(folder.path / "none"));
  run(folder.path / "run", false);
  CHECK_THROWS_WITH(run(folder.path / "run", false), ContainsSubstring("already holds a run"));

  const auto state = folder.path / "run/last/state.safetensors";
  const auto file = read_safetensors(state);
  auto changed = file;
  changed.tensors[0].second = torch::zeros({3});
  write_safetensors(state, changed);
  CHECK_THROWS_WITH(run(folder.path / "run", true), ContainsSubstring("state.safetensors"));
  changed = file;
  changed.metadata["hmrnn"] = R"({"format":1,"kind":"state","step":"x"})";
  write_safetensors(state, changed);
  CHECK_THROWS_AS(run(folder.path / "run", true), Error);
  // Values of other types, and numbers with which the schedule would count for years.
  for (const auto& [place, value, said] : std::vector<std::tuple<std::string, nlohmann::json, std::string>>{
           {"/kind", 1, "not those of a run's state"},
           {"/kind", nlohmann::json::array(), "not those of a run's state"},
           {"/step", -1, "step -1 is negative"},
           {"/schedule/drops", int64_t{9'000'000'000'000'000'000}, "has dropped 9000000000000000000 times"},
           {"/schedule/drops", -1, "has dropped -1 times"}}) {
    INFO(place << " " << value.dump());
    changed = file;
    auto settings = nlohmann::json::parse(file.metadata.at("hmrnn"));
    settings[nlohmann::json::json_pointer(place)] = value;
    changed.metadata["hmrnn"] = settings.dump();
    write_safetensors(state, changed);
    CHECK_THROWS_WITH(run(folder.path / "run", true),
                      ContainsSubstring("state.safetensors") && ContainsSubstring(said));
  }
  changed = file;
  for (auto& [name, tensor] : changed.tensors) {
    if (name == "adam.updates") tensor = torch::tensor(int64_t{-1});
  }
  write_safetensors(state, changed);
  CHECK_THROWS_WITH(run(folder.path / "run", true), ContainsSubstring("adam.updates is -1"));
  // An event that is no text is not the evaluation of this step.
  write_safetensors(state, file);
  std::ofstream(folder.path / "run/metrics.jsonl", std::ios::app) << "{\"event\":1,\"step\":2}\n";
  CHECK_NOTHROW(run(folder.path / "run", true));
  std::filesystem::resize_file(state, std::filesystem::file_size(state) - 7);
  CHECK_THROWS_AS(run(folder.path / "run", true), Error);
}
