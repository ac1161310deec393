#pragma once

#include <stdexcept>
#include <string>

#include "hmrnn/export.h"

namespace hmrnn {

/// An error of the user's input (a file, an option, a checkpoint): its text is one line that names the bad thing.
/// The programs print it and exit with code 2. Errors of a caller's tensors are c10::Error (TORCH_CHECK) instead.
class HMRNN_API Error : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

}  // namespace hmrnn
