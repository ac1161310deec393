#pragma once

#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "examples/program/arguments.h"

/// RUN and --verbose, which every command that uses a model has.
std::vector<OptionSpec> model_options();

/// RUN's model file: best, else last, or RUN itself. Throws hmrnn::Error if there is none.
std::filesystem::path model_file(const Arguments& arguments);

/// With --verbose, says on the standard error which model is used, and whether its checksums were verified.
void tell_about_model(const Arguments& arguments, const std::filesystem::path& file, int64_t step, bool verified);

/// Throws hmrnn::Error naming the model unless `value`, what it was used to compute, is finite: weights may be and yet
/// be too large to compute with.
void require_finite_result(double value, const std::string& run);

/// The command `export`, of every program: a copy of RUN's model for use elsewhere, in float32 or bfloat16, which names
/// no folder of this machine. `load` throws hmrnn::Error for a file that is no model of the program.
int export_model(int argc, char** argv, const std::function<void(const std::filesystem::path&)>& load);
