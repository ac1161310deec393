#include "support/seed.h"

#include <ATen/Context.h>

namespace hmrnn::test {

void seed() { at::manual_seed(1); }

}  // namespace hmrnn::test
