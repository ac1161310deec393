#include "examples/program/processes.h"

#include <fmt/format.h>

#include <chrono>
#include <filesystem>

#include "examples/program/machine.h"
#include "examples/program/train_options.h"
#include "hmrnn/error.h"

namespace {

bool several(const hmrnn::ProcessGroup* group) { return group && group->size() > 1; }

/// The number of processes in which `is` is true.
int64_t count(const hmrnn::ProcessGroup& group, bool is) {
  auto number = torch::full({1}, is ? 1 : 0, torch::kInt64);
  group.sum(number);
  return number.item<int64_t>();
}

std::string mark_of(const hmrnn::RunFolder& folder) { return "run " + absolute_path(folder.path()).string(); }

}  // namespace

std::unique_ptr<hmrnn::ProcessGroup> join_processes(const Arguments& arguments) {
  const double seconds = parse_number("timeout", arguments.get("timeout", kProcessTimeout), 0.1, 1e6);
  return hmrnn::ProcessGroup::from_environment(
      std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::duration<double>(seconds)));
}

bool agree_on_resume(const hmrnn::ProcessGroup* group, const hmrnn::RunFolder& folder, bool requested) {
  if (!group) return requested;
  // All must request it: a process that resumes makes other collective calls than one that starts.
  const auto requests = count(*group, requested);
  if (requests != 0 && requests != group->size()) {
    throw hmrnn::Error(fmt::format("--resume: {} of {} processes have it; give it to all of them or to none", requests,
                                   group->size()));
  }
  if (requested) return true;
  bool resume = false;
  // The first process decides, as it is the one that writes.
  if (group->leads() && group->restarts() > 0) resume = folder.has_state() && group->marked(mark_of(folder));
  return count(*group, resume) > 0;
}

void claim_run(const hmrnn::ProcessGroup* group, const hmrnn::RunFolder& folder) {
  if (group && group->leads()) group->mark(mark_of(folder));
}

torch::Device set_up_machine_of(hmrnn::ProcessGroup* group, int64_t threads, const std::string& device) {
  if (!several(group)) return set_up_machine(threads, device);
  const auto own = fmt::format("cuda:{}", group->local_rank());
  torch::Device out = torch::kCPU;
  if (device == "auto") {
    try {
      out = set_up_machine(threads, own);
    } catch (const hmrnn::Error&) {
      out = set_up_machine(threads, "cpu");
    }
  } else {
    out = set_up_machine(threads, device == "cuda" ? own : device);
  }
  const auto gpus = count(*group, out.is_cuda());
  if (gpus != 0 && gpus != group->size()) {
    throw hmrnn::Error(
        fmt::format("--device {}: {} of {} processes have a GPU; start one process for each GPU, or give "
                    "--device cpu",
                    device, gpus, group->size()));
  }
  if (out.is_cuda()) group->use_device(out);
  return out;
}

void require_even_shares(const hmrnn::ProcessGroup* group, int64_t batch) {
  if (several(group) && batch % group->size() != 0) {
    throw hmrnn::Error(
        fmt::format("--batch {}: cannot be shared evenly among {} processes (it is the batch of all of "
                    "them together)",
                    batch, group->size()));
  }
}
