#pragma once

#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "examples/program/arguments.h"

/// RUN and --verbose, which all commands that use a model have.
std::vector<OptionSpec> model_options();

/// RUN's model file: best, else last, or RUN itself if it is a file. Throws hmrnn::Error if there is none.
std::filesystem::path model_file(const Arguments& arguments);

/// With --verbose, prints to standard error which model is used, and whether its checksums were verified.
void tell_about_model(const Arguments& arguments, const std::filesystem::path& file, int64_t step, bool verified);

/// Throws hmrnn::Error naming the model unless `value`, which was computed with it, is finite: finite weights can still
/// be too large.
void require_finite_result(double value, const std::string& run);

/// The command `export` of all programs: copies RUN's model for use elsewhere, in float32 or bfloat16, without this
/// machine's folders. `load` throws hmrnn::Error for a file that is not a model of the program.
int export_model(int argc, char** argv, const std::function<void(const std::filesystem::path&)>& load);
