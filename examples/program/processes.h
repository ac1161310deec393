#pragma once

#include <torch/types.h>

#include <memory>
#include <string>

#include "examples/program/arguments.h"
#include "hmrnn/run/process_group.h"
#include "hmrnn/run/run_folder.h"

/// Seconds, of --timeout.
inline constexpr const char* kProcessTimeout = "600";

// `train` as one of several processes that torchrun starts (docs/many_machines.md).

/// The group that the environment names, waiting for each other as long as --timeout says; null: there is this process
/// alone. Throws hmrnn::Error.
std::unique_ptr<hmrnn::ProcessGroup> join_processes(const Arguments& arguments);

/// Whether the run in `folder` is to be resumed: it was asked for, or torchrun has restarted the processes and it is
/// this very job that began the run. All processes come to the same answer.
bool agree_on_resume(const hmrnn::ProcessGroup* group, const hmrnn::RunFolder& folder, bool asked);
/// Says that the run in `folder` is this job's, which is what agree_on_resume looks for.
void claim_run(const hmrnn::ProcessGroup* group, const hmrnn::RunFolder& folder);

/// Sets up threads and device (set_up_machine). Of several processes each gets the GPU of its LOCAL_RANK where `device`
/// names none, and the group sums on GPUs. Throws hmrnn::Error where one process has a GPU and another has none.
torch::Device set_up_machine_of(hmrnn::ProcessGroup* group, int64_t threads, const std::string& device);

/// Throws hmrnn::Error where a batch of so many rows cannot be shared evenly.
void require_even_shares(const hmrnn::ProcessGroup* group, int64_t batch);
