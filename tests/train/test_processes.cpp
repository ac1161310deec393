// Several processes that train one model do what one does with the whole batch. Processes are threads here, each with a
// group, a task and a trainer of its own (examples/test_processes.sh has real ones).
#include <atomic>
#include <cmath>
#include <thread>

#include "catch.h"
#include "hmrnn/error.h"
#include "hmrnn/run/process_group.h"
#include "support/temporary_folder.h"
#include "tasks/ink_fixture.h"
#include "train/trainer_fixture.h"

using namespace hmrnn;
using namespace std::chrono_literals;
using hmrnn::test::InkRun;
using hmrnn::test::records;
using hmrnn::test::same_tensors;
using hmrnn::test::SmallRun;
using hmrnn::test::TemporaryFolder;

namespace {

/// Calls work(group) in each of `size` processes, and throws what one of them threw.
void in_group(int64_t size, const std::function<void(const ProcessGroup&)>& work,
              std::chrono::milliseconds timeout = 60s) {
  const TemporaryFolder folder;
  const auto store = (folder.path / "store").string();
  std::vector<std::exception_ptr> errors(static_cast<size_t>(size));
  std::vector<std::thread> threads;
  for (int64_t rank = 0; rank < size; ++rank) {
    threads.emplace_back([&, rank] {
      try {
        at::set_num_threads(1);
        const auto group = ProcessGroup::from_file(store, rank, size, timeout);
        work(*group);
      } catch (...) {
        errors[static_cast<size_t>(rank)] = std::current_exception();
      }
    });
  }
  for (auto& thread : threads) thread.join();
  for (const auto& error : errors) {
    if (error) std::rethrow_exception(error);
  }
}

/// Trains a run in so many processes.
template <typename Run>
std::vector<StopReason> train_in_group(int64_t size, const Run& run, const std::filesystem::path& folder, bool resume) {
  std::vector<StopReason> reasons(static_cast<size_t>(size));
  in_group(size, [&](const ProcessGroup& group) {
    auto own = run;
    own.trainer.group = &group;
    own.rank = group.rank();
    own.ranks = size;
    if (run.stop) own.stop = [&](const Trainer& trainer) { return group.rank() == size - 1 && run.stop(trainer); };
    reasons[static_cast<size_t>(group.rank())] = own(folder, resume);
  });
  return reasons;
}

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

void check_near_records(const std::vector<std::string>& a, const std::vector<std::string>& b, double bound) {
  REQUIRE(a.size() == b.size());
  for (size_t i = 0; i < a.size(); ++i) {
    const auto x = nlohmann::json::parse(a[i]), y = nlohmann::json::parse(b[i]);
    for (const auto& [key, value] : x.items()) {
      INFO(a[i] << "\n" << b[i] << "\n" << key);
      const auto values = value.is_array() ? value.get<std::vector<nlohmann::json>>() : std::vector{value};
      const auto others = value.is_array() ? y[key].get<std::vector<nlohmann::json>>() : std::vector{y[key]};
      REQUIRE(values.size() == others.size());
      for (size_t k = 0; k < values.size(); ++k) {
        if (values[k].is_number()) {
          CHECK(std::abs(values[k].get<double>() - others[k].get<double>()) <=
                bound * (1 + std::abs(values[k].get<double>())));
        } else {
          CHECK(values[k] == others[k]);
        }
      }
    }
  }
}

}  // namespace

TEST_CASE("a process group sums, gathers rows, and gives all the same bits") {
  for (const int64_t size : {1, 2, 3}) {
    std::vector<torch::Tensor> sums(static_cast<size_t>(size)), rows(static_cast<size_t>(size));
    in_group(size, [&](const ProcessGroup& group) {
      const auto r = static_cast<size_t>(group.rank());
      auto x = (torch::arange(1000) * 0.1 + static_cast<double>(group.rank()) / 3).to(torch::kFloat32);
      group.sum(x);
      sums[r] = x;
      // rank r has r rows, the first none
      rows[r] = group.gather_rows(torch::full({group.rank(), 3}, group.rank(), torch::kInt32));
      // (Catch2's own checks are for one thread.)
      const auto none = group.gather_rows(torch::zeros({group.rank(), 0}));
      TORCH_CHECK(none.sizes() == at::IntArrayRef({size * (size - 1) / 2, 0}), "rows without columns: ", none.sizes());
      group.barrier();
      TORCH_CHECK(group.leads() == (group.rank() == 0), "who leads");
    });
    for (const auto& sum : sums) CHECK(torch::equal(sum, sums[0]));
    CHECK(torch::allclose(sums[0], (torch::arange(1000) * 0.1 * size + size * (size - 1) / 6.0).to(torch::kFloat32)));
    for (const auto& all : rows) {
      REQUIRE(all.size(0) == size * (size - 1) / 2);
      for (int64_t r = 0, at = 0; r < size; at += r++) CHECK(all.narrow(0, at, r).eq(r).all().item<bool>());
    }
  }
}

TEST_CASE("rows are shared without gaps") {
  for (const int64_t size : {1, 2, 3, 7}) {
    for (int64_t n = 0; n < 20; ++n) {
      int64_t next = 0;
      for (int64_t r = 0; r < size; ++r) {
        const auto [begin, count] = rows_of_rank(n, r, size);
        CHECK(begin == next);
        CHECK((count == n / size || count == n / size + 1));
        next = begin + count;
      }
      CHECK(next == n);
    }
  }
}

TEST_CASE("a process that does not come or hangs is an error in the others, within the timeout") {
  const TemporaryFolder folder;
  const auto begin = std::chrono::steady_clock::now();
  CHECK_THROWS_AS(ProcessGroup::from_file((folder.path / "store").string(), 0, 2, 500ms), Error);
  CHECK_THROWS_WITH(in_group(
                        2,
                        [](const ProcessGroup& group) {
                          if (group.rank() == 1) std::this_thread::sleep_for(3s);  // hangs, and goes away
                          group.barrier();
                        },
                        1000ms),
                    ContainsSubstring("waited for the others, and one of them died or hung"));
  CHECK(std::chrono::steady_clock::now() - begin < 30s);
}

// In float64 a boundary falls to the other side through rounding as good as never; in a model of a few units that has
// learned nothing float32 does it every few windows, so that float32 is compared with soft boundaries.
TEST_CASE("text: two and three processes do what one does") {
  SmallRun run;
  run.trainer.steps = 34;
  run.dtype = torch::kFloat64;
  double bound = 1e-10;
  SECTION("float64") {}
  SECTION("float32") {
    run.dtype = torch::kFloat32;
    run.boundary = BoundaryMode::Soft;
    bound = 1e-5;
  }
  SECTION("the control") { run.core = Core::LSTM; }
  SECTION("target rates, roll, cap, averaged weights, weight decay, cosine") {
    run.roll = true;
    run.boundary_cost.target_rate = {0.3, 0.1};
    run.boundary_cost.speed = 0.05;
    run.detector_norm_cap = 0.2;
    run.trainer.ema = 0.9;
    run.trainer.optimizer = {.beta2 = 0.99, .clip = 0.1, .weight_decay = 1e-3};
    run.trainer.schedule = {.kind = ScheduleKind::Cosine, .warmup = 5, .final_rate = 1e-4, .length = 40};
    bound = 1e-5;  // costs are float32
  }
  SECTION("given boundaries") { run.boundaries = "clock:3,9"; }
  SECTION("a window that is skipped") { run.bad_windows = {3, 11}; }
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
  run.model.boundary(BoundaryMode::Soft);
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

TEST_CASE("a group's run stopped by a signal in one process goes on in another number of processes") {
  SmallRun run;
  run.trainer.steps = 34;
  run.boundary = BoundaryMode::Soft;
  const TemporaryFolder folder;
  const auto whole = folder.path / "whole", parts = folder.path / "parts", mixed = folder.path / "mixed";
  REQUIRE(train_in_group(2, run, whole, false)[0] == StopReason::Steps);
  auto stopped = run;
  stopped.stop = [](const Trainer& trainer) { return trainer.step() >= 13; };
  // All of them stop, though one alone was asked to, and all after the same step.
  for (const auto reason : train_in_group(2, stopped, parts, false)) REQUIRE(reason == StopReason::Signal);
  std::filesystem::copy(parts, mixed, std::filesystem::copy_options::recursive);
  // As many again: the same bits.
  REQUIRE(train_in_group(2, run, parts, true)[0] == StopReason::Steps);
  CHECK(same_tensors(whole / "last/model.safetensors", parts / "last/model.safetensors"));
  CHECK(same_tensors(whole / "last/state.safetensors", parts / "last/state.safetensors"));
  CHECK(records(whole) == records(parts));
  // Another number, and one alone.
  auto alone = folder.path / "alone";
  std::filesystem::copy(mixed, alone, std::filesystem::copy_options::recursive);
  REQUIRE(train_in_group(3, run, mixed, true)[0] == StopReason::Steps);
  REQUIRE(run(alone, true) == StopReason::Steps);
  for (const auto& other : {mixed, alone}) {
    check_near_records(records(whole), records(other), 1e-5);
    CHECK(worst_difference(whole / "last/model.safetensors", other / "last/model.safetensors", "") < 1e-5);
  }
}

TEST_CASE("what cannot be shared is refused") {
  SmallRun run;
  run.batch = 7;
  run.ranks = 2;
  const TemporaryFolder folder;
  CHECK_THROWS_WITH(run(folder.path / "run", false),
                    "7 streams to train on and 5 to validate on cannot be shared among 2 processes");
  InkRun ink;
  ink.ranks = 2;
  CHECK_THROWS_WITH(ink(folder.path / "ink", false), "a batch of 5 lines cannot be shared among 2 processes");
}
