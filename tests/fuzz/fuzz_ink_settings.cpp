// Fuzzes the settings of a run of handwriting. Build: tests/fuzz/README.md.
#include "examples/handwriting/train_settings.h"
#include "tests/fuzz/settings.h"
