#pragma once

#include "hmrnn/export.h"

#define HMRNN_VERSION_MAJOR 0
#define HMRNN_VERSION_MINOR 1
#define HMRNN_VERSION_PATCH 0
#define HMRNN_VERSION "0.1.0"

namespace hmrnn {

/// Version of the library that is loaded, "major.minor.patch"; HMRNN_VERSION is that of the headers.
HMRNN_API const char* version();

}  // namespace hmrnn
