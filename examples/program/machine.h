#pragma once

#include <torch/types.h>

#include <string>
#include <vector>

#include "examples/program/arguments.h"

/// --threads and --device, which every command has.
std::vector<OptionSpec> machine_options();

/// Sets the threads (0: OMP_NUM_THREADS, else as many as CPUs that this process may use) and finds the device. Throws
/// hmrnn::Error for many more threads than CPUs.
torch::Device set_up_machine(int64_t threads, const std::string& device);
torch::Device set_up_machine(const Arguments& arguments);
