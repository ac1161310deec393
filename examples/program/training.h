#pragma once

#include <torch/nn/module.h>

#include <functional>
#include <nlohmann/json.hpp>
#include <string>

#include "examples/program/train_options.h"
#include "hmrnn/train/run_folder.h"
#include "hmrnn/train/training_task.h"

using Json = nlohmann::ordered_json;

/// The options that a run was begun with, from what Trainer::read_run_settings gave. Throws hmrnn::Error naming
/// `where`, also for a run of another program.
OptionMap stored_options(const Json& stored, const std::string& where);

/// Throws hmrnn::Error unless `stored` has every entry of `now`: `source` is not what the run in `where` was trained
/// on.
void require_same_data(const Json& stored, const Json& now, const std::string& source, const std::string& where);

/// "hm_lstm 400,400,400, 4021234 parameters; cpu, 2 threads, float32"
std::string describe_setting(const CommonSettings& settings, const torch::nn::Module& model, torch::Device device,
                             std::optional<torch::ScalarType> dtype);

/// The same for an error message: "hm_lstm 400,400,400, 4021234 parameters, batch 64, window 100"
std::string describe_sizes(const CommonSettings& settings, const torch::nn::Module& model);

/// Trains `task` in `folder`, until a limit or a signal; `announce` prints what there is to say before the first step.
/// Returns the exit code: 128 + the signal, else 0.
int run_training(hmrnn::TrainingTask& task, const hmrnn::TrainerOptions& options, const hmrnn::RunFolder& folder,
                 const Json& run_settings, bool resume, const std::function<void()>& announce);
