#pragma once

#include <filesystem>
#include <string>

#include "hmrnn/export.h"

namespace hmrnn {

/// Returns the default folder for the data of `corpus`: $HMRNN_DATA_DIR/<corpus>, else data/<corpus> below the working
/// directory, where data/fetch.sh stores it; empty if neither exists.
HMRNN_API std::filesystem::path default_data_dir(const std::string& corpus);

}  // namespace hmrnn
