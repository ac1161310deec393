#pragma once

#include <torch/types.h>

#include <string>
#include <vector>

#include "examples/program/arguments.h"

/// --threads and --device of all commands that compute with a model, except `train`, which has its own.
std::vector<OptionSpec> machine_options();

/// Sets the number of threads (0: OMP_NUM_THREADS, else the number of CPUs that this process may use) and returns the
/// device. Throws hmrnn::Error for far more threads than CPUs.
torch::Device set_up_machine(int64_t threads, const std::string& device);
torch::Device set_up_machine(const Arguments& arguments);
