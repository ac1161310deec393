#pragma once

/// Marks what libhmrnn shows to the outside; everything else is hidden.
#define HMRNN_API __attribute__((visibility("default")))
