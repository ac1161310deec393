// Guard pages around memory, for programs as released: their own objects, oneDNN and the BLAS together.
//
// This library replaces malloc, operator new and related functions; it is loaded before the C library (LD_PRELOAD, or
// linked). HMRNN_GUARD=end places the end of every block next to an unmapped page, HMRNN_GUARD=start its start: an
// access beyond it ends the process with a line about the block and a stack trace. Padding for alignment between block
// and page is filled, and checked when the block is freed. Freed blocks stay unmapped, so that a use after free, or a
// second free, ends the process too. New blocks are filled with NaN, not zeros.
//
// HMRNN_GUARD_MIN=BYTES leaves smaller blocks to the C library (default 1: none). A block needs two memory mappings, of
// which Linux gives a process 65,530: beyond 28,000 live blocks the C library serves, and the summary at the end of the
// process reports how many these were. LibTorch alone allocates as many small ones when it is loaded:
// HMRNN_GUARD_LATER=1 leaves all to the C library until hmrnn_guard_begin is called.
#pragma once

#include <cstddef>
#include <cstdint>

extern "C" {

/// Allocates a guarded block whose end (HMRNN_GUARD=end) or start is exactly at the page boundary, whatever its
/// alignment. Null without a guard: not requested, or too many live blocks.
void* hmrnn_guard_allocate(size_t size);
/// Frees a block of hmrnn_guard_allocate.
void hmrnn_guard_free(void* block);
/// See HMRNN_GUARD_LATER.
void hmrnn_guard_begin();
/// Whether HMRNN_GUARD is set.
bool hmrnn_guard_active();
/// Number of blocks guarded so far.
uint64_t hmrnn_guard_blocks();
/// Names the current work, for the message of a fault: a text with static storage.
void hmrnn_guard_at_work(const char* what);

}  // extern "C"
