#pragma once

#include <filesystem>
#include <string>

#include "hmrnn/export.h"

namespace hmrnn {

/// The folder that holds the data of `corpus` by default, empty if there is none: $HMRNN_DATA_DIR/<corpus>, else
/// data/<corpus> below the working directory, where data/fetch.sh puts it.
HMRNN_API std::filesystem::path default_data_dir(const std::string& corpus);

}  // namespace hmrnn
