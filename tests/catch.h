// Catch2 v2 (Debian 12) and v3 (Ubuntu 24.04 and newer) under one name.
#pragma once

// c10 defines macros with the same names; tests use Catch2's.
#undef CHECK
#undef CHECK_EQ
#undef CHECK_NE

#ifdef HMRNN_CATCH2_V3
#include <catch2/catch_all.hpp>
using Catch::Approx;
using Catch::Matchers::ContainsSubstring;
#else
#include <catch2/catch.hpp>  // this header makes Approx global; Catch::Approx would be a matcher of vectors here
#include <string>
inline auto ContainsSubstring(const std::string& text) { return Catch::Contains(text); }
#endif
