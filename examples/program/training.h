#pragma once

#include <torch/nn/module.h>

#include <functional>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>

#include "examples/program/arguments.h"
#include "examples/program/machine.h"
#include "examples/program/train_options.h"
#include "hmrnn/ops/product_dtype.h"
#include "hmrnn/run/run_folder.h"
#include "hmrnn/train/trainer.h"
#include "hmrnn/train/training_task.h"

using Json = nlohmann::ordered_json;

/// What `train` settles before it looks at any data, so that nothing is written where an option is wrong.
template <typename Settings>
struct TrainSetup {
  hmrnn::RunFolder folder;
  bool resume;
  Json stored = {};  ///< of a run that is taken up: its settings
  Settings settings = {};
  torch::Device device = torch::kCPU;
  std::optional<torch::ScalarType> dtype = std::nullopt;  ///< of products; none: float32
};

/// The options that a run was begun with, from what Trainer::read_run_settings gave. Throws hmrnn::Error naming
/// `where`, also for a run of another program.
OptionMap stored_options(const Json& stored, const std::string& where);

/// Compares the options that a run was begun with (`stored`) with all that there are (`now`, with their values). Throws
/// hmrnn::Error naming `where` for one that this version does not know: without it the run would go on as another one.
/// Says on the standard output which ones the run does not name, being older than they are, and what they are now, but
/// for those of `given`.
void compare_options(const OptionMap& stored, const OptionMap& given, const OptionMap& now, const std::string& where);

/// Settings of a new run or of the run in --out, checked, and the machine that they ask for. Throws hmrnn::Error.
template <typename Settings>
TrainSetup<Settings> set_up_training(const Arguments& arguments) {
  TrainSetup<Settings> out{hmrnn::RunFolder(arguments.require("out")), arguments.has("resume")};
  if (out.resume) {
    out.stored = Json::parse(hmrnn::Trainer::read_run_settings(out.folder));
    const auto options = stored_options(out.stored, out.folder.last_state().string());
    out.settings = Settings::resumed(options, arguments.values(), out.folder.path().string());
    compare_options(options, arguments.values(), out.settings.options(), out.folder.path().string());
  } else {
    out.settings = Settings::create(arguments.values());
    out.folder.require_absent();
  }
  out.device = set_up_machine(out.settings.threads, out.settings.device);
  out.dtype = hmrnn::resolve_product_dtype(out.settings.dtype, out.device);
  return out;
}

/// How to load the corpus of a run. A folder that was asked for is not replaced by the default one, as that of a moved
/// run is.
template <typename Reference>
auto corpus_options_of(const Reference& corpus, const Arguments& arguments) {
  auto out = options_to_load(corpus);
  if (arguments.has("data-dir")) out.data_dir = corpus.data_dir;
  return out;
}

/// The entry of a hash of the data among those of require_same_data.
inline constexpr const char* kContents = "contents";

/// Throws hmrnn::Error unless `stored` has every entry of `now`: `source` is not what the run in `where` was trained
/// on. Runs from before there was one do without kContents.
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
