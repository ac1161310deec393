#pragma once

/// Marks what libhmrnn and libhmrnn_train show to the outside; everything else is hidden.
#define HMRNN_API __attribute__((visibility("default")))
