#include "examples/program/model_file.h"

#include <cmath>

#include "hmrnn/error.h"
#include "hmrnn/run/run_folder.h"

std::vector<OptionSpec> model_options() { return {{"run", "", "folder of a run, or a model.safetensors"}}; }

std::filesystem::path model_file(const Arguments& arguments) {
  return hmrnn::RunFolder::find_model(arguments.require("run"));
}

void require_finite_result(double value, const std::string& run) {
  if (!std::isfinite(value)) throw hmrnn::Error(run + ": this model computes values that are not finite");
}
