#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "examples/program/arguments.h"

/// RUN, which every command that uses a model has.
std::vector<OptionSpec> model_options();

/// RUN's model file: best, else last, or RUN itself. Throws hmrnn::Error if there is none.
std::filesystem::path model_file(const Arguments& arguments);

/// Throws hmrnn::Error naming the model unless `value`, what it was used to compute, is finite: weights may be and yet
/// be too large to compute with.
void require_finite_result(double value, const std::string& run);
