// Memory against guard pages, for programs as they are released: their own objects, oneDNN and the BLAS together.
//
// Loaded before the C library (LD_PRELOAD, or linked), it is what malloc, operator new and all their kin allocate from.
// HMRNN_GUARD=end puts every block against an unmapped page at its end, HMRNN_GUARD=start at its start: what reads or
// writes past it ends the process, with a line about the block and a stack trace. What alignment leaves between block
// and page is filled and compared when the block is freed. Freed blocks stay unmapped for good, so that a use after
// free, or a second one, ends the process as well. New blocks are full of NaN, not of zeros.
//
// HMRNN_GUARD_MIN=BYTES leaves smaller blocks to the C library (default 1: none). A block costs two memory mappings, of
// which Linux gives a process 65,530: beyond 28,000 living blocks the C library serves, and the summary that the
// process prints at its end says how many these were. LibTorch alone makes as many small ones when it is loaded:
// HMRNN_GUARD_LATER=1 leaves all to the C library until hmrnn_guard_begin is called.
#pragma once

#include <cstddef>
#include <cstdint>

extern "C" {

/// A guarded block whose end is exactly the page's, whatever alignment that gives it (HMRNN_GUARD=end), or whose start
/// is. Null where there is no guard: not asked for, or too many blocks live.
void* hmrnn_guard_allocate(size_t size);
/// Gives a block back that hmrnn_guard_allocate made.
void hmrnn_guard_free(void* block);
/// See HMRNN_GUARD_LATER.
void hmrnn_guard_begin();
/// Whether HMRNN_GUARD is set.
bool hmrnn_guard_active();
/// Blocks that were guarded so far.
uint64_t hmrnn_guard_blocks();
/// What is at work, for the line of a fault: a text that stays where it is.
void hmrnn_guard_at_work(const char* what);

}  // extern "C"
