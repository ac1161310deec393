#pragma once

#include <torch/types.h>

#include <memory>
#include <string>

#include "examples/program/arguments.h"
#include "hmrnn/run/process_group.h"
#include "hmrnn/run/run_folder.h"

/// Default of --timeout, seconds.
inline constexpr const char* kProcessTimeout = "600";

// `train` as one of several processes that torchrun starts (docs/many_machines.md).

/// The process group that the environment describes (ProcessGroup::from_environment), with --timeout; null if this
/// process was started alone. Throws hmrnn::Error.
std::unique_ptr<hmrnn::ProcessGroup> join_processes(const Arguments& arguments);

/// Whether to resume the run in `folder`: the user requested it (`requested`), or torchrun has restarted the processes
/// and the run was started by the same job. The result is the same in all processes. Throws hmrnn::Error if the
/// user requested it of only some of them.
bool agree_on_resume(const hmrnn::ProcessGroup* group, const hmrnn::RunFolder& folder, bool requested);
/// Marks the run in `folder` as started by this job, for agree_on_resume after a restart.
void claim_run(const hmrnn::ProcessGroup* group, const hmrnn::RunFolder& folder);

/// Sets up threads and device (set_up_machine). With several processes, each uses the GPU of its LOCAL_RANK unless
/// `device` has an index, and the group sums tensors on GPUs. Throws hmrnn::Error if only some processes have a GPU.
torch::Device set_up_machine_of(hmrnn::ProcessGroup* group, int64_t threads, const std::string& device);

/// Throws hmrnn::Error if `batch` rows cannot be divided evenly among the processes.
void require_even_shares(const hmrnn::ProcessGroup* group, int64_t batch);
