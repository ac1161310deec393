// Runs that died between two writes, or whose files were changed by hand: what a resume completes.
#include <filesystem>
#include <fstream>

#include "catch.h"
#include "hmrnn/error.h"
#include "hmrnn/io/safetensors.h"
#include "support/files.h"
#include "support/temporary_folder.h"
#include "train/trainer_fixture.h"

using namespace hmrnn;
using hmrnn::test::parsed_records;
using hmrnn::test::same_tensors;
using hmrnn::test::SmallRun;
using hmrnn::test::TemporaryFolder;

namespace fs = std::filesystem;

namespace {

void copy_over(const fs::path& from, const fs::path& to) {
  fs::remove_all(to);
  fs::copy(from, to, fs::copy_options::recursive);
}

/// Stops the run at `step`.
void stop_at(SmallRun& run, const fs::path& folder, int64_t step, bool resume) {
  run.stop = [step](const Trainer& trainer) { return trainer.step() >= step; };
  REQUIRE(run(folder, resume) == StopReason::Signal);
  run.stop = {};
}

/// A run with windows that are not finite, stopped after its return from step 16 to step 10.
SmallRun returned_run(const fs::path& folder, const std::function<void(const Trainer&)>& before = {}) {
  SmallRun run;
  run.return_to_checkpoint();
  run.trainer.steps = 20;
  run.trainer.keep = 10;
  run.stop = [before](const Trainer& trainer) {
    if (before) before(trainer);
    return trainer.recovered();
  };
  REQUIRE(run(folder, false) == StopReason::Signal);
  run.stop = {};
  return run;
}

}  // namespace

TEST_CASE("a resume completes a save that wrote the state alone") {
  const TemporaryFolder temporary;
  const auto folder = temporary / "run";
  SmallRun run;
  run.trainer.keep = 3;
  run.trainer.steps = 5;
  REQUIRE(run(folder, false) == StopReason::Steps);
  copy_over(folder / "last/model.safetensors", temporary / "old");
  run.trainer.steps = 10;
  REQUIRE(run(folder, true) == StopReason::Steps);
  copy_over(folder / "last/model.safetensors", temporary / "whole");

  const std::string lost = GENERATE("the model is that of an earlier save", "there is no model", "it is not kept");
  INFO(lost);
  if (lost == "it is not kept") {
    fs::remove_all(folder / "kept/00000010");
  } else {
    fs::remove(folder / "last/model.safetensors");
    if (lost != "there is no model") copy_over(temporary / "old", folder / "last/model.safetensors");
  }
  REQUIRE(run(folder, true) == StopReason::Steps);
  CHECK(same_tensors(folder / "last/model.safetensors", temporary / "whole"));
  CHECK(same_tensors(folder / "kept/00000010/model.safetensors", temporary / "whole"));
}

TEST_CASE("only the evaluation whose record is there already is not recorded") {
  const TemporaryFolder temporary;
  const auto folder = temporary / "run";
  SmallRun run;
  run.trainer.eval_every = 10;
  stop_at(run, folder, 5, false);
  copy_over(folder / "last", temporary / "before");
  run.trainer.steps = 5;
  REQUIRE(run(folder, true) == StopReason::Steps);  // evaluates at its end
  // It died after the record, before the save.
  copy_over(temporary / "before", folder / "last");
  run.trainer.steps = 20;
  REQUIRE(run(folder, true) == StopReason::Steps);
  std::vector<int64_t> steps;
  for (const auto& record : parsed_records(folder, "eval")) steps.push_back(record["step"].get<int64_t>());
  CHECK(steps == std::vector<int64_t>{5, 10, 20});
}

TEST_CASE("a state to go back to does not outlive a part of the run without --recover") {
  const TemporaryFolder temporary;
  const auto folder = temporary / "run";
  SmallRun run;
  run.trainer.recover = true;
  stop_at(run, folder, 8, false);
  CHECK(fs::exists(folder / "recover/state.safetensors"));
  run.trainer.recover = false;
  stop_at(run, folder, 9, true);
  CHECK_FALSE(fs::exists(folder / "recover"));
}

TEST_CASE("a return to a checkpoint removes the kept saves of the steps that it takes back") {
  const TemporaryFolder temporary;
  const auto folder = temporary / "run";
  returned_run(folder);
  CHECK(fs::exists(folder / "kept/00000010"));
  CHECK_FALSE(fs::exists(folder / "kept/00000015"));
}

TEST_CASE("a resume completes a return to a checkpoint") {
  const TemporaryFolder temporary;
  const auto folder = temporary / "run";
  auto run = returned_run(folder, [&](const Trainer& trainer) {
    if (trainer.step() != 15 || trainer.recovered()) return;
    copy_over(folder / "recover", temporary / "recover");
    copy_over(folder / "metrics.jsonl", temporary / "metrics.jsonl");
    copy_over(folder / "kept/00000010", temporary / "later");
  });
  // It died right after the save.
  copy_over(temporary / "recover", folder / "recover");
  copy_over(temporary / "metrics.jsonl", folder / "metrics.jsonl");
  copy_over(temporary / "later", folder / "kept/00000015");
  REQUIRE(parsed_records(folder, "recover").empty());
  stop_at(run, folder, 12, true);
  const auto records = parsed_records(folder, "recover");
  REQUIRE(records.size() == 1);
  CHECK(records[0]["step"] == 10);
  CHECK(records[0]["from"] == 16);
  CHECK_FALSE(fs::exists(folder / "recover"));
  CHECK_FALSE(fs::exists(folder / "kept/00000015"));
}

TEST_CASE("a run whose best model cannot be written ends with an error, after its save") {
  const TemporaryFolder temporary;
  const auto folder = temporary / "run";
  SmallRun run;
  run.trainer.steps = 10;
  run.begin = [&](Trainer&) { fs::create_directories(folder / "best/model.safetensors/full"); };
  CHECK_THROWS_WITH(run(folder, false), ContainsSubstring("the run ended at step 10 without ") &&
                                            ContainsSubstring("best/model.safetensors"));
  CHECK(fs::exists(folder / "last/state.safetensors"));
  // A better model that can be written makes up for it.
  fs::remove_all(folder / "best/model.safetensors");
  run.begin = {};
  run.trainer.steps = 21;
  CHECK(run(folder, true) == StopReason::Steps);
  CHECK(fs::exists(folder / "best/model.safetensors"));
}
