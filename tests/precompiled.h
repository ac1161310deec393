// The tests' own precompiled header: the library's, and Catch2.
#pragma once

#include <cmake/precompiled.h>

#include "catch.h"
