#pragma once

/// Before each loop over the rows or vectors of a register tile, of constant length, at most 8: unrolls it completely,
/// and early. Unrolled as late as g++ does it by itself, the tile's sums would be an array in memory, and every step
/// would store them.
#define HMRNN_UNROLL_TILE _Pragma("GCC unroll 8")
