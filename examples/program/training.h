#pragma once

#include <fmt/format.h>
#include <torch/nn/module.h>

#include <functional>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "examples/program/arguments.h"
#include "examples/program/processes.h"
#include "examples/program/train_options.h"
#include "hmrnn/ops/product_dtype.h"
#include "hmrnn/run/run_folder.h"
#include "hmrnn/train/trainer.h"
#include "hmrnn/train/training_task.h"

using Json = nlohmann::ordered_json;

/// The setup of `train`, checked before any data is read, so that a wrong option leaves no files.
template <typename Settings>
struct TrainSetup {
  hmrnn::RunFolder folder;
  bool resume;
  Json stored = {};  ///< settings of a resumed run
  Settings settings = {};
  torch::Device device = torch::kCPU;
  std::optional<torch::ScalarType> dtype = std::nullopt;  ///< of the products; none: float32
  /// The processes that torchrun started; null: only this one. `settings.trainer.group` points to it if there are
  /// several.
  std::unique_ptr<hmrnn::ProcessGroup> group = {};

  int64_t rank() const { return group ? group->rank() : 0; }
  int64_t ranks() const { return group ? group->size() : 1; }
};

/// The options with which a run was started, from the result of Trainer::read_run_settings. Throws hmrnn::Error naming
/// `where` for malformed settings and for a run of another program.
OptionMap stored_options(const Json& stored, const std::string& where);

/// Compares a run's options (`stored`) with those of this version (`now`, with their values). Throws hmrnn::Error
/// naming `where` for an option that this version does not know, since the run would silently change. If `tell`, prints
/// the options that are newer than the run, with their values, except those in `given`.
void compare_options(const OptionMap& stored, const OptionMap& given, const OptionMap& now, const std::string& where,
                     bool tell);

/// Throws hmrnn::Error naming the option whose value is not UTF-8, in which a run stores its options.
void require_utf8(const OptionMap& options);

/// Lines that name those of the options `given` for a new run that have no effect in `settings`: of detectors where
/// there are none, of initial weights where another model provides these.
std::vector<std::string> options_without_effect(const OptionMap& given, const OptionMap& settings);

/// Checked settings of a new run or of the run in --out, the processes that share it, and the device and dtype for it.
/// Throws hmrnn::Error.
template <typename Settings>
TrainSetup<Settings> set_up_training(const Arguments& arguments) {
  TrainSetup<Settings> out{hmrnn::RunFolder(arguments.require("out")), arguments.has("resume")};
  out.group = join_processes(arguments);
  out.resume = agree_on_resume(out.group.get(), out.folder, out.resume);
  if (out.resume) {
    out.stored = Json::parse(hmrnn::Trainer::read_run_settings(out.folder));
    const auto options = stored_options(out.stored, out.folder.last_state().string());
    out.settings = Settings::resumed(options, arguments.values(), out.folder.path().string());
    compare_options(options, arguments.values(), out.settings.options(), out.folder.path().string(), out.rank() == 0);
  } else {
    out.settings = Settings::create(arguments.values());
    const auto check = [&] { out.folder.require_absent(); };  // by the first process, which alone writes the folder
    out.group ? out.group->lead(check) : check();
    for (const auto& line : options_without_effect(arguments.values(), out.settings.options())) {
      if (out.rank() == 0) fmt::print("{}\n", line);
    }
  }
  require_utf8(out.settings.options());
  require_even_shares(out.group.get(), out.settings.batch);
  if (out.ranks() > 1) out.settings.trainer.group = out.group.get();
  out.device = set_up_machine_of(out.group.get(), out.settings.threads, out.settings.device);
  out.dtype = hmrnn::resolve_product_dtype(out.settings.dtype, out.device);
  return out;
}

/// Options that load a run's corpus. A folder given with --data-dir must exist; for a moved run, the default folder is
/// used instead.
template <typename Reference>
auto corpus_options_of(const Reference& corpus, const Arguments& arguments) {
  auto out = options_to_load(corpus);
  if (arguments.has("data-dir")) out.data_dir = corpus.data_dir;
  return out;
}

/// Key of the hash of the data in require_same_data.
inline constexpr const char* kContents = "contents";

/// Throws hmrnn::Error unless `stored` has every entry of `now`: then `source` is not the data of the run in `where`.
/// Older runs may lack kContents.
void require_same_data(const Json& stored, const Json& now, const std::string& source, const std::string& where);

/// "hm_lstm 400,400,400, 4021234 parameters; cpu, 2 threads, float32"
std::string describe_setting(const CommonSettings& settings, const torch::nn::Module& model, torch::Device device,
                             std::optional<torch::ScalarType> dtype);

/// The sizes for an error message: "hm_lstm 400,400,400, 4021234 parameters, batch 64, window 100"
std::string describe_sizes(const CommonSettings& settings, const torch::nn::Module& model);

/// Trains `task` in `folder` until a limit or a signal; `announce` is called before the first step. `group`: the
/// processes that torchrun started, or null; only the first of several prints. Returns the exit code: 128 + the signal
/// (SIGTERM if another process received it), else 0.
int run_training(hmrnn::TrainingTask& task, const hmrnn::TrainerOptions& options, const hmrnn::RunFolder& folder,
                 const Json& run_settings, bool resume, const hmrnn::ProcessGroup* group,
                 const std::function<void()>& announce);
