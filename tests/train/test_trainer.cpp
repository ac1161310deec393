#include <cmath>
#include <cstdio>
#include <cstring>
#include <limits>
#include <set>

#include "catch.h"
#include "hmrnn/error.h"
#include "support/temporary_folder.h"
#include "train/trainer_fixture.h"

using namespace hmrnn;
using hmrnn::test::parsed_records;
using hmrnn::test::records;
using hmrnn::test::SmallRun;
using hmrnn::test::TemporaryFolder;

namespace {

struct PointImpl : torch::nn::Module {
  PointImpl() { at = register_parameter("at", torch::zeros({4})); }
  torch::Tensor at;
};
TORCH_MODULE(Point);

/// Moves a point towards 1. Windows in `bad_loss` have a loss that is not finite; in `bad_gradient`, only the gradient
/// is not finite. Validation losses are given.
class PointTask : public TrainingTask {
 public:
  torch::nn::Module& module() override { return *point; }
  torch::Device device() const override { return torch::kCPU; }
  int64_t layers() const override { return 1; }
  int64_t windows() const override { return 10; }
  LoadedWindow load(int64_t epoch, int64_t index) override {
    visited.emplace_back(epoch, window = index);
    return {2, 2, {}};
  }
  WindowLoss forward() override {
    WindowLoss out;
    out.loss = (point->at - 1).square().mean();
    if (bad_loss.contains(window)) out.loss = out.loss * std::numeric_limits<double>::quiet_NaN();
    if (bad_gradient.contains(window))
      out.loss = out.loss + (point->at * 0).abs().sqrt().sum();  // the derivative of √ at 0 is infinite
    out.updates = torch::full({1}, 2, torch::kFloat64);
    return out;
  }
  void settle(const torch::Tensor& not_finite) override { settled.push_back(not_finite.item<float>()); }
  std::optional<Evaluation> evaluate(const std::function<bool()>&) override {
    const auto loss = losses.at(std::min(evaluations++, losses.size() - 1));
    return Evaluation{loss, 1, {1}, 0.1};
  }
  void set_slope(double slope) override { slopes.push_back(slope); }
  double slope() const override { return slopes.back(); }
  void save_state(SafeTensors&) const override {}
  void load_state(const SafeTensors&, const std::string&) override {}
  std::string describe() const override { return R"({"kind": "point"})"; }
  std::string unit() const override { return "points"; }
  std::vector<std::pair<std::string, double>> measures(double loss, bool validation) const override {
    return {{validation ? "validation_twice" : "training_twice", 2 * loss}};
  }
  std::string loss_text(double loss) const override { return std::to_string(loss); }

  Point point;
  std::set<int64_t> bad_loss, bad_gradient;
  std::vector<double> losses = {1}, slopes;
  std::vector<float> settled;
  std::vector<std::pair<int64_t, int64_t>> visited;
  size_t evaluations = 0;
  int64_t window = 0;
};

struct TwoPointsImpl : torch::nn::Module {
  TwoPointsImpl() : below(register_module("below", Point())), above(register_module("above", Point())) {}
  Point below, above;
};
TORCH_MODULE(TwoPoints);

/// Moves two points towards 1. In the given windows, the loss of the upper one is a million times as steep.
class SteepTask : public PointTask {
 public:
  explicit SteepTask(std::set<int64_t> steep) : steep_(std::move(steep)) {}
  torch::nn::Module& module() override { return *points; }
  WindowLoss forward() override {
    auto out = PointTask::forward();  // of a point that is not trained
    const auto distance = [](const Point& p) { return (p->at - 1).square().mean(); };
    out.loss =
        out.loss.detach() + distance(points->below) + (steep_.contains(window) ? 1e6 : 1) * distance(points->above);
    return out;
  }
  TwoPoints points;

 private:
  std::set<int64_t> steep_;
};

/// Two modules that are the same one, so that its weight has two names.
struct TiedPointsImpl : torch::nn::Module {
  TiedPointsImpl() : below(register_module("below", Point())), above(register_module("above", below)) {}
  Point below, above;
};
TORCH_MODULE(TiedPoints);

class TiedTask : public PointTask {
 public:
  TiedTask() { point = points->below; }
  torch::nn::Module& module() override { return *points; }
  TiedPoints points;
};

/// A graph that computes its work anew in each replay.
class Recomputed : public WindowGraph {
 public:
  std::optional<c10::Stream> stream() const override { return std::nullopt; }
  void capture(const std::function<void()>& work) override { work_ = work; }
  void replay() override { work_(); }

 private:
  std::function<void()> work_;
};

StopReason train(PointTask& task, const TrainerOptions& options, const std::filesystem::path& folder) {
  Progress progress(nullptr);
  Trainer trainer(task, options, RunFolder(folder), progress);
  trainer.start();
  return trainer.run();
}

}  // namespace

TEST_CASE("an update that is not finite never reaches the weights") {
  const TemporaryFolder folder;
  PointTask task;
  task.bad_loss = {2, 3};
  task.bad_gradient = {5};
  REQUIRE(train(task, {.learning_rate = 0.01, .steps = 10, .log_every = 5}, folder / "run") == StopReason::Steps);
  CHECK(task.settled == std::vector<float>{0, 0, 1, 1, 0, 1, 0, 0, 0, 0});
  // Adam's first steps each move by the learning rate: 7 of the 10 updates were made.
  CHECK(torch::isfinite(task.point->at).all().item<bool>());
  CHECK(task.point->at[0].item<double>() == Approx(0.07).epsilon(0.02));
  const auto train_records = parsed_records(folder / "run", "train");
  REQUIRE(train_records.size() == 2);
  CHECK(train_records[0]["skipped_updates"] == 2);
  CHECK(train_records[1]["skipped_updates"] == 1);
  CHECK(std::isfinite(train_records[0]["loss"].get<double>()));
  // the mean of the three windows that count, at 0, 0.01 and 0.02
  CHECK(train_records[0]["loss"].get<double>() ==
        Approx((1 + std::pow(0.99, 2) + std::pow(0.98, 2)) / 3).epsilon(1e-3));
}

TEST_CASE("training gives up when no update is finite any more, and keeps the weights") {
  const TemporaryFolder folder;
  PointTask task;
  task.bad_loss = {4, 5, 6, 7};
  CHECK_THROWS_WITH(train(task, {.learning_rate = 0.01, .steps = 10, .max_skipped = 3}, folder / "run"),
                    ContainsSubstring("3 updates in a row up to step 7"));
  const auto saved = read_safetensors(folder / "run/last/model.safetensors").find("at");
  CHECK(saved[0].item<double>() == Approx(0.04).epsilon(0.02));
}

TEST_CASE("windows above the limit of the gradient norm count in the records and carry their states on") {
  const TemporaryFolder folder;
  PointTask limited;  // in the first and the third window the gradient is above the limit, in the second not finite
  limited.bad_loss = {1};
  TrainerOptions options = {.learning_rate = 0.01, .steps = 10, .log_every = 1, .max_skipped = 3};
  options.optimizer.skip_norm = 1e-3;
  CHECK_THROWS_WITH(train(limited, options, folder / "limited"),
                    ContainsSubstring("or the gradient's norm is above 0.001 (the weights from before"));
  CHECK(limited.settled == std::vector<float>{0, 1, 0});
  const auto train_records = parsed_records(folder / "limited", "train");
  REQUIRE(train_records.size() == 3);
  for (const auto& record : train_records) CHECK(record["skipped_updates"] == 1);
  CHECK(train_records[0]["loss"].get<double>() == Approx(1));
  CHECK(train_records[0]["grad_norm"].get<double>() == Approx(1));
  CHECK(train_records[1]["loss"].is_null());
}

TEST_CASE("a gradient whose norm is above 1e4 is said once, and whose it is") {
  const TemporaryFolder folder;
  const auto said = [&](std::set<int64_t> steep, double clip, const std::string& name, double skip_norm = 0,
                        bool graph = false) {
    SteepTask task(std::move(steep));
    std::FILE* stream = std::tmpfile();
    REQUIRE(stream);
    {
      Progress progress(stream);
      TrainerOptions options = {.learning_rate = 0.01, .steps = 10, .log_every = graph ? 5 : 10};
      options.optimizer.clip = clip;
      options.optimizer.skip_norm = skip_norm;
      Trainer trainer(task, options, RunFolder(folder / name), progress);
      if (graph) trainer.use_graphs(std::make_unique<Recomputed>());
      trainer.start();
      REQUIRE(trainer.run() == StopReason::Steps);
    }
    std::rewind(stream);
    std::vector<std::string> lines;
    for (char line[500]; std::fgets(line, sizeof line, stream);) {
      if (std::strstr(line, "gradient's norm") || std::strstr(line, "gradients since")) lines.emplace_back(line);
    }
    std::fclose(stream);
    return lines;
  };
  // (at - 1) · 1e6 / 2 in each of four dimensions, with at = 0.03
  CHECK(
      said({3, 5, 6}, 1, "clipped") ==
      std::vector<std::string>{"step 4: the gradient's norm is 9.7e+05, most of it of above.at; it is clipped to 1\n"});
  CHECK(said({0}, 0, "unclipped") ==
        std::vector<std::string>{"step 1: the gradient's norm is 1e+06, most of it of above.at; nothing clips it\n"});
  CHECK(said({}, 1, "flat").empty());
  // Where the host does not read each norm (a graph, a GPU) the mean since the last record counts: a fifth of 1e6.
  CHECK(said({2, 7}, 1, "replayed", 0, /*graph=*/true) ==
        std::vector<std::string>{"step 5: the gradients since the last record have a mean norm of 2e+05\n"});
  CHECK(
      said({3}, 1, "skipped", /*skip_norm=*/10) ==
      std::vector<std::string>{
          "step 4: the gradient's norm is 9.7e+05, most of it of above.at; the update is skipped\n",
          "step 10: 1 of the last 10 updates skipped, loss or gradient is not finite, or the gradient's norm is above "
          "10\n"});
}

TEST_CASE("the learning rate falls and the slope rises in the records as the schedules say") {
  const TemporaryFolder folder;
  PointTask task;
  task.losses = {3, 2, 2.5, 2.2, 1.9};
  REQUIRE(
      train(task,
            {.learning_rate = 0.01, .slope_rate = 0.5, .slope_max = 1.8, .epochs = 4, .eval_every = 8, .log_every = 1},
            folder / "run") == StopReason::Epochs);
  const auto train_records = parsed_records(folder / "run", "train");
  REQUIRE(train_records.size() == 40);
  for (size_t i = 0; i < train_records.size(); ++i) {
    INFO("step " << i + 1);
    CHECK(train_records[i]["step"] == i + 1);
    CHECK(train_records[i]["epoch"] == (i + 1) / 10);
    CHECK(train_records[i]["lr"].get<double>() == Approx(i < 24 ? 0.01 : 0.0002));  // after the third validation
    CHECK(train_records[i]["slope"].get<double>() == Approx(std::min(1.8, 1 + 0.5 * (i / 10))));
  }
  const auto evaluations = parsed_records(folder / "run", "eval");
  REQUIRE(evaluations.size() == 5);
  CHECK(evaluations[1]["loss"] == 2);
  // the task's own measures distinguish training from validation
  CHECK(evaluations[1]["validation_twice"] == 4);
  CHECK_FALSE(evaluations[1].contains("training_twice"));
  CHECK(train_records[0].contains("training_twice"));
  CHECK_FALSE(train_records[0].contains("validation_twice"));
  // windows in order, epoch by epoch
  REQUIRE(task.visited.size() == 40);
  for (int64_t i = 0; i < 40; ++i) CHECK(task.visited[static_cast<size_t>(i)] == std::pair(i / 10, i % 10));
  // the best validation was the last one
  const auto best = read_safetensors(folder / "run/best/model.safetensors");
  CHECK(nlohmann::json::parse(best.metadata.at("hmrnn"))["step"] == 40);
}

TEST_CASE("best is the model of the lowest validation loss, last that of the end") {
  const TemporaryFolder folder;
  PointTask task;
  task.losses = {3, 2, 2.5};
  REQUIRE(train(task, {.learning_rate = 0.01, .steps = 30}, folder / "run") == StopReason::Steps);
  const auto step_of = [&](const char* name) {
    return nlohmann::json::parse(read_safetensors(folder / name).metadata.at("hmrnn"))["step"].get<int64_t>();
  };
  CHECK(step_of("run/best/model.safetensors") == 20);
  CHECK(step_of("run/last/model.safetensors") == 30);
}

TEST_CASE("without a limit training ends when validation stops improving again after the drop") {
  const TemporaryFolder folder;
  PointTask task;
  task.losses = {3, 2, 2.5, 1.9, 1.95, 1.0};
  CHECK(train(task, {.learning_rate = 0.01}, folder / "run") == StopReason::Converged);
  CHECK(task.evaluations == 5);
}

TEST_CASE("a cosine takes its length from the limits, and has to have one") {
  const TemporaryFolder folder;
  PointTask task;
  TrainerOptions options = {.learning_rate = 0.01, .epochs = 2, .log_every = 1};
  options.schedule = {.kind = ScheduleKind::Cosine, .final_rate = 0.002};
  REQUIRE(train(task, options, folder / "run") == StopReason::Epochs);
  const auto records = parsed_records(folder / "run", "train");
  REQUIRE(records.size() == 20);
  CHECK(records[0]["lr"].get<double>() == Approx(0.01));
  CHECK(records[19]["lr"].get<double>() == Approx(0.002));
  for (size_t i = 1; i < records.size(); ++i) CHECK(records[i]["lr"] < records[i - 1]["lr"]);
  options.epochs = 0;
  options.minutes = 1;
  PointTask other;
  CHECK_THROWS_WITH(train(other, options, folder / "endless"), ContainsSubstring("cosine"));
  CHECK_FALSE(std::filesystem::exists(folder / "endless"));
}

TEST_CASE("a cosine of more epochs than steps can be counted ends at the number of steps") {
  const TemporaryFolder folder;
  SmallRun run;
  run.trainer.schedule.kind = ScheduleKind::Cosine;
  run.trainer.epochs = std::numeric_limits<int64_t>::max();
  run.trainer.steps = 3;
  CHECK(run(folder / "run", false) == StopReason::Steps);
}

TEST_CASE("averaged weights are validated beside the others, and their best is kept") {
  const TemporaryFolder folder;
  PointTask task;
  task.losses = {3, 4, 2, 1, 2.5, 1.5};  // alternately for the weights and for their averages
  TrainerOptions options = {.learning_rate = 0.01, .ema = 0.9, .steps = 30};
  REQUIRE(train(task, options, folder / "run") == StopReason::Steps);
  const auto evaluations = parsed_records(folder / "run", "eval");
  REQUIRE(evaluations.size() == 3);
  CHECK(evaluations[1]["loss"] == 2);
  CHECK(evaluations[1]["ema"]["loss"] == 1);
  CHECK(evaluations[1]["ema"]["validation_twice"] == 2);
  const auto at = [&](const char* name) { return read_safetensors(folder / name); };
  const auto best = at("run/best/model.safetensors"), averaged = at("run/best_ema/model.safetensors");
  CHECK(nlohmann::json::parse(averaged.metadata.at("hmrnn"))["step"] == 20);
  CHECK(nlohmann::json::parse(averaged.metadata.at("hmrnn"))["validation_loss"] == 1);
  // The point moves towards 1; its average lags behind and is not trained.
  CHECK(averaged.find("at")[0].item<double>() > 0.02);
  CHECK(averaged.find("at")[0].item<double>() < best.find("at")[0].item<double>() - 0.01);
  CHECK(at("run/last/model.safetensors").find("at")[0].item<double>() > best.find("at")[0].item<double>());
  CHECK(RunFolder::find_model(folder / "run/best_ema") == folder / "run/best_ema/model.safetensors");
}

TEST_CASE("a limit in minutes ends a run that has no other") {
  const TemporaryFolder folder;
  PointTask task;
  CHECK(train(task, {.minutes = 0.02}, folder / "run") == StopReason::Minutes);
  CHECK(task.evaluations > 0);
}

TEST_CASE("records have the fields that are promised") {
  const TemporaryFolder folder;
  SmallRun run;
  run.trainer.steps = 8;
  run(folder / "run", false);
  std::ifstream file(folder / "run/metrics.jsonl");
  size_t lines = 0;
  for (std::string line; std::getline(file, line); ++lines) {
    const auto json = nlohmann::json::parse(line);
    for (const auto* key :
         {"event", "step", "epoch", "loss", "bpc", "grad_norm", "lr", "slope", "updates", "characters_per_second"}) {
      INFO(line);
      CHECK(json.contains(key));
    }
    CHECK(json.size() == 10);
    CHECK(json["bpc"].get<double>() == Approx(json["loss"].get<double>() / std::log(2.0)));
    REQUIRE(json["updates"].size() == 3);
    CHECK(json["updates"][0] == 1);
    for (const auto& rate : json["updates"]) CHECK((rate >= 0 && rate <= 1));
    CHECK(json["characters_per_second"] > 0);
  }
  CHECK(lines == 4);
}

TEST_CASE("validation draws nothing from the generators of training") {
  const TemporaryFolder folder;
  SmallRun run;
  run.boundary = BoundaryMode::Bernoulli;
  run.dropout = 0.3;
  run.trainer.steps = 12;
  run.trainer.schedule.patience = 1000;
  run(folder / "seldom", false);
  run.trainer.eval_every = 1;
  run(folder / "often", false);
  CHECK(hmrnn::test::same_tensors(folder / "seldom/last/model.safetensors", folder / "often/last/model.safetensors"));
}

TEST_CASE("texts that are too short are refused before anything is written") {
  const TemporaryFolder folder;
  SmallRun run;
  run.text = 100;
  CHECK_THROWS_WITH(run(folder / "run", false), ContainsSubstring("training text"));
  CHECK_FALSE(std::filesystem::exists(folder / "run"));
}

TEST_CASE("a weight that two modules share is updated and averaged once") {
  const TemporaryFolder folder;
  PointTask plain;
  TiedTask tied;
  REQUIRE(tied.module().named_parameters().size() == 2);
  TrainerOptions options;
  options.steps = 25;
  options.ema = 0.5;
  options.optimizer.clip = 0.1;
  train(plain, options, folder.path / "plain");
  train(tied, options, folder.path / "tied");
  CHECK(plain.point->at.abs().min().item<double>() > 0);
  CHECK(torch::equal(tied.points->above->at, plain.point->at));
  const auto of = [&](const char* run) { return read_safetensors(folder.path / run / "last/state.safetensors"); };
  const auto one = of("plain"), two = of("tied");
  CHECK(torch::equal(two.find("adam.exp_avg.below.at"), one.find("adam.exp_avg.at")));
  CHECK(torch::equal(two.find("ema.below.at"), one.find("ema.at")));
  CHECK_FALSE(two.find("adam.exp_avg.above.at").defined());
}
