#include <c10/core/Event.h>

#include <chrono>
#include <stdexcept>

#include "catch.h"
#include "hmrnn/error.h"
#include "hmrnn/ops/window_graph.h"
#include "run/in_group.h"
#include "support/cuda.h"
#include "support/stalling_sums.h"

using namespace hmrnn;
using namespace std::chrono_literals;
using hmrnn::test::find_cuda;
using hmrnn::test::in_group;
using hmrnn::test::is_emulated;
using hmrnn::test::ScopedEnvironment;
using hmrnn::test::StallingSums;
using hmrnn::test::TemporaryFolder;

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
  CHECK_THROWS_WITH(ProcessGroup::from_file((folder.path / "store").string(), 0, 2, 500ms),
                    ContainsSubstring("process 0 of 2 found no group through"));
  CHECK_THROWS_WITH(
      in_group(
          2,
          [](const ProcessGroup& group) {
            if (group.rank() == 1) std::this_thread::sleep_for(3s);  // hangs, then ends
            group.barrier();
          },
          1000ms),
      ContainsSubstring("process 0 of 2 waited for the others, and one of them died or hung (timeout 1 s)"));
  CHECK(std::chrono::steady_clock::now() - begin < 30s);
}

TEST_CASE("a sum on GPUs that never ends is an error within the timeout", "[cuda]") {
  const auto device = find_cuda();
  if (!device) return;
  const StallingSums sums;
  StallingSums::stalled = true;
  const auto begin = std::chrono::steady_clock::now();
  const auto sum_and_wait = [&](bool on_device) {
    in_group(
        2,
        [&](ProcessGroup& group) {
          group.use_device(*device);
          const auto options = on_device ? torch::TensorOptions(*device) : torch::TensorOptions(torch::kCPU);
          group.sum(torch::ones({3}, options));
          if (on_device) group.wait_for_sums();
          group.barrier();
        },
        2s);
  };
  CHECK_THROWS_WITH(sum_and_wait(true),
                    "process 0 of 2 waited for a sum over the GPUs of all processes, and one of "
                    "them died or hung (timeout 2 s)");
  CHECK(std::chrono::steady_clock::now() - begin < 30s);
  CHECK_NOTHROW(sum_and_wait(false));
}

TEST_CASE("an exception does not wait for the device", "[cuda]") {
  const auto device = find_cuda();
  if (!device || !is_emulated(*device)) return;  // a GPU might be faster than the host
  const auto graph = make_window_graph(*device);
  for (const bool throws : {false, true}) {
    c10::Event event(device->type());
    try {
      const GraphStream stream(graph.get());
      const auto work = torch::ones({3}, *device) + 1;
      event.record(*graph->stream());
      if (throws) throw Error("the device hangs");
    } catch (const Error&) {
    }
    CHECK(event.query() != throws);
    event.synchronize();
  }
}

TEST_CASE("what the first process does alone, and what becomes of the others where it fails") {
  std::vector<std::string> said(3);
  int done = 0;
  in_group(3, [&](const ProcessGroup& group) {
    group.lead([&] { ++done; });
    try {
      group.lead([] { throw Error("the folder is full"); });
    } catch (const Error& error) {
      said[static_cast<size_t>(group.rank())] = error.what();
    }
    group.barrier();  // the group still works
  });
  CHECK(done == 1);
  CHECK(said == std::vector<std::string>{"the folder is full", "process 1 of 3 ends, for the first one cannot go on",
                                         "process 2 of 3 ends, for the first one cannot go on"});
  // Errors of other kinds stay what they are.
  CHECK_THROWS_AS(in_group(2, [](const ProcessGroup& g) { g.lead([] { throw std::out_of_range("no"); }); }),
                  std::out_of_range);
}

TEST_CASE("the environment of torchrun") {
  const ScopedEnvironment no_store("TORCHELASTIC_USE_AGENT_STORE", nullptr), no_port("MASTER_PORT", nullptr),
      no_address("MASTER_ADDR", nullptr), restarts("TORCHELASTIC_RESTART_COUNT", "2"), local("LOCAL_RANK", "3");
  {
    const ScopedEnvironment none("WORLD_SIZE", nullptr);
    CHECK(ProcessGroup::from_environment(1s) == nullptr);
  }
  {
    const ScopedEnvironment one("WORLD_SIZE", "1");
    const auto group = ProcessGroup::from_environment(1s);
    REQUIRE(group);
    CHECK((group->size() == 1 && group->leads() && group->restarts() == 2 && group->local_rank() == 3));
    group->mark("run");
    CHECK(!group->marked("run"));  // stored only if torchrun holds the store
    auto x = torch::ones({3});
    group->sum(x);
    CHECK(torch::equal(x, torch::ones({3})));
  }
  const ScopedEnvironment two("WORLD_SIZE", "2");
  const auto refusal = [] {
    try {
      ProcessGroup::from_environment(200ms);
    } catch (const Error& error) {
      return std::string(error.what());
    }
    return std::string("none");
  };
  {
    const ScopedEnvironment rank("RANK", nullptr);
    CHECK(refusal() == "WORLD_SIZE is set, so torchrun's RANK is needed, but it is not");
  }
  {
    const ScopedEnvironment rank("RANK", "2");
    CHECK(refusal() == "RANK=2 is not a number from 0 to 1");
  }
  const ScopedEnvironment rank("RANK", "1");
  CHECK(refusal() == "WORLD_SIZE is set, so torchrun's MASTER_PORT is needed, but it is not");
  const ScopedEnvironment port("MASTER_PORT", "1"), address("MASTER_ADDR", "127.0.0.1");  // nothing listens there
  CHECK_THAT(refusal(), ContainsSubstring("process 1 of 2 found no group at 127.0.0.1:1 within 0.2 s"));
}
