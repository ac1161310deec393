#pragma once

namespace hmrnn::test {

/// Seeds LibTorch, so that tests without their own seed are repeatable. (main.cpp, which contains Catch2's own sources,
/// compiles in a third of the time without LibTorch's headers.)
void seed();

}  // namespace hmrnn::test
