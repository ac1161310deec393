#include "examples/program/machine.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>

#include "hmrnn/error.h"
#include "hmrnn/io/machine_limits.h"
#include "hmrnn/ops/cuda_library.h"

namespace {

// Limits of --threads (per CPU, but at least kFewThreads): threads that share a CPU make every product wait for the
// last one.
constexpr int64_t kThreadsOfCpu = 8, kFewThreads = 16;

}  // namespace

std::vector<OptionSpec> machine_options() {
  return {{"threads", "N", "CPU threads (default: as many as CPUs that this process may use)", "Machine"},
          {"device", "NAME", "cpu, cuda or auto (default)", "Machine"}};
}

torch::Device set_up_machine(int64_t threads, const std::string& device) {
  const auto cpus = hmrnn::usable_cpus();
  if (const auto most = std::max<int64_t>(kThreadsOfCpu * cpus, kFewThreads); threads > most) {
    throw hmrnn::Error(
        fmt::format("--threads {}: this process may use {} CPU{}; more than {} threads would wait for each other",
                    threads, cpus, cpus == 1 ? "" : "s", most));
  }
  if (threads > 0) {
    at::set_num_threads(static_cast<int>(threads));
  } else if (std::getenv("OMP_NUM_THREADS") == nullptr && at::get_num_threads() > cpus) {
    at::set_num_threads(static_cast<int>(cpus));  // LibTorch's default is the number of the machine's CPUs
  }
  return hmrnn::resolve_device(device);
}

torch::Device set_up_machine(const Arguments& arguments) {
  return set_up_machine(parse_integer("threads", arguments.get("threads", "0"), 0, 4096),
                        arguments.get("device", "auto"));
}
