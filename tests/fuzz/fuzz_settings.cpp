// Fuzzes the settings of a run of char_lm. Build: tests/fuzz/README.md.
#include "examples/char_lm/train_settings.h"
#include "tests/fuzz/settings.h"
