// Consecutive updates that are skipped: the trainer returns to a checkpoint with half the learning rate once, then
// ends the run.
#include "catch.h"
#include "hmrnn/error.h"
#include "support/temporary_folder.h"
#include "train/trainer_fixture.h"

using namespace hmrnn;
using hmrnn::test::parsed_records;
using hmrnn::test::records;
using hmrnn::test::same_tensors;
using hmrnn::test::SmallRun;
using hmrnn::test::TemporaryFolder;

namespace {

/// Windows 12 to 27 of an epoch of 29 are bad; states are saved after 5, 10, 15, … steps.
SmallRun bad_run() {
  SmallRun run;
  for (int64_t window = 12; window < 28; ++window) run.bad_windows.insert(window);
  run.trainer.steps = 34;
  run.trainer.log_every = 1;
  run.trainer.max_skipped = 4;
  run.trainer.recover = true;
  run.trainer.schedule.kind = ScheduleKind::Constant;
  return run;
}

}  // namespace

TEST_CASE("a run goes back to the checkpoint before bad updates and on at half the learning rate") {
  const TemporaryFolder folder;
  auto run = bad_run();
  run.bad_until_recovery = true;
  run.finish = [](const Trainer& trainer) { CHECK(trainer.recovered()); };
  REQUIRE(run(folder / "run", false) == StopReason::Steps);

  // Each step is recorded once, from the continuation after the return; step 15 was saved too, but after three bad
  // updates.
  const auto train = parsed_records(folder / "run", "train");
  REQUIRE(train.size() == 34);
  for (size_t i = 0; i < train.size(); ++i) {
    INFO("step " << i + 1);
    CHECK(train[i]["step"] == i + 1);
    CHECK_FALSE(train[i].contains("skipped_updates"));
    CHECK(train[i]["lr"].get<double>() == Approx(train[0]["lr"].get<double>() / (i < 10 ? 1 : 2)));
  }
  const auto back = parsed_records(folder / "run", "recover");
  REQUIRE(back.size() == 1);
  CHECK(back[0]["step"] == 10);
  CHECK(back[0]["from"] == 16);
  CHECK(back[0]["lr"] == train[10]["lr"]);
  CHECK_FALSE(std::filesystem::exists(folder / "run/recover"));

  // The result equals that of a run without bad updates that was stopped there and continued at half the rate.
  SmallRun by_hand = bad_run();
  by_hand.bad_windows.clear();
  by_hand.trainer.recover = false;
  by_hand.stop = [](const Trainer& trainer) { return trainer.step() == 10; };
  REQUIRE(by_hand(folder / "by_hand", false) == StopReason::Signal);
  by_hand.stop = {};
  by_hand.trainer.learning_rate /= 2;
  REQUIRE(by_hand(folder / "by_hand", true) == StopReason::Steps);
  CHECK(same_tensors(folder / "run/last/model.safetensors", folder / "by_hand/last/model.safetensors"));
}

TEST_CASE("a run goes back once, and gives up where that was no help") {
  const TemporaryFolder folder;
  auto run = bad_run();
  CHECK_THROWS_WITH(run(folder / "run", false),
                    ContainsSubstring("4 updates in a row up to step 16 were skipped, at half the learning rate too"));
  CHECK(parsed_records(folder / "run", "recover").size() == 1);
  // The state that it saves at its end contains `recovered`.
  CHECK_THROWS_WITH(run(folder / "run", true), ContainsSubstring("up to step 20 were skipped, at half"));
  CHECK(parsed_records(folder / "run", "recover").size() == 1);
}

TEST_CASE("weights from which no update was made are none to go back to") {
  const TemporaryFolder folder;
  auto run = bad_run();
  run.bad_until_recovery = true;
  SECTION("at the start") {
    for (int64_t window = 0; window < 12; ++window) run.bad_windows.insert(window);
    run.trainer.checkpoint_every = 2;
    CHECK_THROWS_WITH(run(folder / "run", false), ContainsSubstring("4 updates in a row up to step 4 were skipped:"));
    CHECK_FALSE(std::filesystem::exists(folder / "run/recover"));
  }
  SECTION("at a checkpoint right before them") {
    run.trainer.checkpoint_every = 4;
    REQUIRE(run(folder / "run", false) == StopReason::Steps);
    CHECK(parsed_records(folder / "run", "recover").at(0)["step"] == 8);
  }
}

TEST_CASE("without the option a run gives up the first time, and keeps no second state") {
  const TemporaryFolder folder;
  auto run = bad_run();
  run.trainer.recover = false;
  CHECK_THROWS_WITH(run(folder / "run", false), ContainsSubstring("4 updates in a row up to step 16 were skipped:"));
  CHECK_FALSE(std::filesystem::exists(folder / "run/recover"));
}

TEST_CASE("a run that was taken up from an earlier state does not jump ahead") {
  const TemporaryFolder folder;
  auto run = bad_run();
  run.bad_windows.clear();
  run.trainer.keep = 9;
  run.trainer.steps = 22;
  REQUIRE(run(folder / "run", false) == StopReason::Steps);
  REQUIRE(std::filesystem::exists(folder / "run/recover/state.safetensors"));  // from step 20
  std::filesystem::remove_all(folder / "run/last");
  std::filesystem::copy(folder / "run/kept/00000005", folder / "run/last");
  for (int64_t window = 5; window < 12; ++window) run.bad_windows.insert(window);
  CHECK_THROWS_WITH(run(folder / "run", true), ContainsSubstring("4 updates in a row up to step 9 were skipped:"));
}

TEST_CASE("a damaged state to go back to is as none: the run is saved before it gives up") {
  const TemporaryFolder folder;
  auto run = bad_run();
  run.trainer.checkpoint_every = 10;
  run.stop = [&](const Trainer& trainer) {
    const auto state = folder / "run/recover/state.safetensors";
    if (trainer.step() == 14) std::filesystem::resize_file(state, std::filesystem::file_size(state) - 5);
    return false;
  };
  CHECK_THROWS_WITH(run(folder / "run", false), ContainsSubstring("4 updates in a row up to step 16 were skipped:"));
  const auto state = read_safetensors(folder / "run/last/state.safetensors");
  CHECK(nlohmann::json::parse(state.metadata.at("hmrnn"))["step"] == 16);
}

TEST_CASE("a state from before there was a way back has not gone it") {
  const TemporaryFolder folder;
  auto run = bad_run();
  run.bad_until_recovery = true;
  run.stop = [](const Trainer& trainer) { return trainer.step() == 8; };
  REQUIRE(run(folder / "run", false) == StopReason::Signal);
  const auto state = folder / "run/last/state.safetensors";
  auto file = read_safetensors(state);
  auto json = nlohmann::json::parse(file.metadata.at("hmrnn"));
  REQUIRE(json.erase("recovered") == 1);
  file.metadata["hmrnn"] = json.dump();
  write_safetensors(state, file);
  run.stop = {};
  REQUIRE(run(folder / "run", true) == StopReason::Steps);
  CHECK(parsed_records(folder / "run", "recover").size() == 1);
}
