#pragma once

/// It stands before each loop over the rows or vectors of a register tile (of constant length, at most 8), and unrolls
/// the loop completely and early. g++ by itself unrolls so late that the tile's sums are an array in memory, which
/// every step stores.
#define HMRNN_UNROLL_TILE _Pragma("GCC unroll 8")
