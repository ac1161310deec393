#pragma once

#include <torch/types.h>

#include <string>
#include <vector>

#include "examples/program/arguments.h"

/// --threads and --device, which every command has.
std::vector<OptionSpec> machine_options();

/// Sets the threads (0: LibTorch's choice) and finds the device.
torch::Device set_up_machine(int64_t threads, const std::string& device);
torch::Device set_up_machine(const Arguments& arguments);
