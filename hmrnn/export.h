#pragma once

/// Marks what libhmrnn and libhmrnn_train show to the outside; everything else is hidden. Also marks what libhmrnn_cuda
/// exports (ops/cuda/device.h, synchronization.h), which is not public: its headers are not installed.
#define HMRNN_API __attribute__((visibility("default")))
