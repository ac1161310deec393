#include "hmrnn/version.h"

namespace hmrnn {

const char* version() { return HMRNN_VERSION; }

}  // namespace hmrnn
