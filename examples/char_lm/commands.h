#pragma once

#include <torch/types.h>

#include <string>

#include "arguments.h"
#include "hmrnn/train/char_lm_checkpoint.h"

// The commands of char_lm. Each takes its own command line (argv[0] is its name) and returns the exit code; what the user
// got wrong is thrown as hmrnn::Error.
int train_command(int argc, char** argv);
int eval_command(int argc, char** argv);
int sample_command(int argc, char** argv);
int segment_command(int argc, char** argv);

/// --threads and --device, which every command has.
std::vector<OptionSpec> machine_options();
/// Sets the threads (0: LibTorch's choice) and finds the device.
torch::Device set_up_machine(int64_t threads, const std::string& device);
torch::Device set_up_machine(const Arguments& arguments);

/// The model of RUN (best, else last), on `device`.
hmrnn::CharLMCheckpoint load_run(const std::string& run, torch::Device device);
