// What nearly every source of the project includes; LibTorch's headers take 10 s a source without this.
#pragma once

#include <torch/torch.h>

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>
