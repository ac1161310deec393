#include "guard/guarded_memory.h"

#include <dlfcn.h>
#include <execinfo.h>
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>

extern "C" {
void* __libc_malloc(size_t size);
void __libc_free(void* block);
void* __libc_calloc(size_t count, size_t size);
void* __libc_realloc(void* block, size_t size);
void* __libc_memalign(size_t alignment, size_t size);
}

namespace {

constexpr size_t kPage = 4096, kArena = size_t{16} << 40;
constexpr size_t kMallocAlignment = 16;
constexpr unsigned char kCanary = 0xa5, kFresh = 0xff;  // 0xff: NaN in every floating point type
constexpr size_t kMostLiving = 28'000, kSlots = size_t{1} << 16;
constexpr size_t kForTensors = 8'000;  // of these, the number reserved for hmrnn_guard_allocate

enum class Guard { Unknown, Off, End, Start };

/// A live block. Its pages begin at `first`, and an unmapped one follows.
struct Block {
  uintptr_t first;  ///< 0: the slot was never used; 1: its block was freed
  size_t pages;
  uintptr_t data;
  size_t size;
};

Block g_blocks[kSlots];
size_t g_used_slots = 0, g_living = 0, g_most_living = 0;
std::atomic<uint64_t> g_count{0}, g_bytes{0}, g_unguarded{0}, g_tensors{0}, g_unguarded_tensors{0};
pthread_mutex_t g_mutex = PTHREAD_MUTEX_INITIALIZER;
uintptr_t g_arena = 0, g_next = 0;
size_t g_least = 1;
std::atomic<bool> g_begun{true};
std::atomic<Guard> g_guard{Guard::Unknown};
std::atomic<const char*> g_at_work{""};

class Lock {
 public:
  Lock() { pthread_mutex_lock(&g_mutex); }
  ~Lock() { pthread_mutex_unlock(&g_mutex); }
  Lock(const Lock&) = delete;
  Lock& operator=(const Lock&) = delete;
};

void say(const char* text) { (void)!write(STDERR_FILENO, text, strlen(text)); }

[[noreturn]] void fault(const char* what, const void* address) {
  char line[512];
  snprintf(line, sizeof line, "guard: %s at %p; at work: %s\n", what, address, g_at_work.load());
  say(line);
  void* frames[64];
  backtrace_symbols_fd(frames, backtrace(frames, 64), STDERR_FILENO);
  _exit(99);
}

size_t slot_of(uintptr_t first) {
  return (first / kPage * 0x9e3779b97f4a7c15ULL) >> 48;
}  // 16 bits, as many as kSlots has

Block* find(uintptr_t first) {
  for (size_t i = slot_of(first), n = 0; n < kSlots; ++n, i = (i + 1) % kSlots) {
    if (g_blocks[i].first == first) return &g_blocks[i];
    if (g_blocks[i].first == 0) return nullptr;
  }
  return nullptr;
}

void insert(const Block& block) {
  size_t i = slot_of(block.first);
  while (g_blocks[i].first > 1) i = (i + 1) % kSlots;
  if (g_blocks[i].first == 0) ++g_used_slots;
  g_blocks[i] = block;
}

/// Removes the slots of freed blocks, which slow down every search: reinserts all live ones.
void sweep_slots() {
  static Block living[kMostLiving + 1];
  if (g_used_slots < kSlots * 3 / 4) return;
  size_t count = 0;
  for (const auto& block : g_blocks) {
    if (block.first > 1) living[count++] = block;
  }
  memset(g_blocks, 0, sizeof g_blocks);
  g_used_slots = 0;
  for (size_t i = 0; i < count; ++i) insert(living[i]);
}

Guard guard();

void on_fault(int, siginfo_t* info, void*) {
  const auto address = reinterpret_cast<uintptr_t>(info->si_addr);
  if (g_arena != 0 && address >= g_arena && address < g_arena + kArena) {
    for (const auto& b : g_blocks) {
      if (b.first <= 1) continue;
      // The page between two blocks is the guard of the first one (End) or of the second one (Start).
      const bool ends = guard() == Guard::End;
      const bool after = address >= b.data + b.size && address < b.first + (b.pages + (ends ? 1 : 0)) * kPage;
      const bool before = address >= b.first - (ends ? 0 : kPage) && address < b.data;
      if (!after && !before) continue;
      char line[160];
      snprintf(line, sizeof line, "%zu bytes %s a block of %zu bytes",
               after ? address - b.data - b.size : b.data - address, after ? "behind the end of" : "before", b.size);
      fault(line, info->si_addr);
    }
    fault("use of a block that was freed", info->si_addr);
  }
  fault("segmentation fault", info->si_addr);
}

void begin() {
  if (environ == nullptr) return;  // the dynamic linker allocates before the C library has an environment
  const char* mode = getenv("HMRNN_GUARD");
  const auto guard = mode == nullptr || *mode == '\0' ? Guard::Off
                     : strcmp(mode, "end") == 0       ? Guard::End
                     : strcmp(mode, "start") == 0     ? Guard::Start
                                                      : Guard::Unknown;
  if (guard == Guard::Unknown) {
    say("guard: HMRNN_GUARD is end or start\n");
    _exit(98);
  }
  if (guard != Guard::Off) {
    if (const char* least = getenv("HMRNN_GUARD_MIN")) g_least = strtoul(least, nullptr, 10);
    g_begun = getenv("HMRNN_GUARD_LATER") == nullptr;
    void* arena = mmap(nullptr, kArena, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (arena == MAP_FAILED) {
      say("guard: no address space\n");
      _exit(98);
    }
    g_arena = reinterpret_cast<uintptr_t>(arena);
    g_next = g_arena + kPage;
    struct sigaction action = {};
    action.sa_sigaction = on_fault;
    action.sa_flags = SA_SIGINFO | SA_NODEFER;
    sigaction(SIGSEGV, &action, nullptr);
    sigaction(SIGBUS, &action, nullptr);
  }
  g_guard = guard;
}

/// Determined by the first allocation, before there are several threads.
Guard guard() {
  if (g_guard.load(std::memory_order_relaxed) == Guard::Unknown) begin();
  return g_guard.load(std::memory_order_relaxed);
}

/// Null: the C library must serve the request.
void* allocate(size_t size, size_t alignment) {
  if (guard() == Guard::Unknown || guard() == Guard::Off || size < g_least || !g_begun) return nullptr;
  if (alignment > kPage) return nullptr;
  const size_t bytes = (size + alignment - 1) / alignment * alignment;
  const size_t pages = std::max<size_t>((bytes + kPage - 1) / kPage, 1);
  Block block{};
  {
    const Lock lock;
    const size_t most = alignment == 1 ? kMostLiving : kMostLiving - kForTensors;
    if (g_living >= most || g_next + (pages + 1) * kPage > g_arena + kArena) {
      ++g_unguarded;
      return nullptr;
    }
    g_most_living = std::max(g_most_living, ++g_living);
    block.first = g_next;
    g_next += (pages + 1) * kPage;
  }
  const auto end = block.first + pages * kPage;
  if (mprotect(reinterpret_cast<void*>(block.first), pages * kPage, PROT_READ | PROT_WRITE) != 0) {
    const Lock lock;
    --g_living;
    ++g_unguarded;
    return nullptr;
  }
  block.pages = pages;
  block.size = size;
  block.data = guard() == Guard::Start ? block.first : (end - size) / alignment * alignment;
  memset(reinterpret_cast<void*>(block.first), kCanary, block.data - block.first);
  memset(reinterpret_cast<void*>(block.data), kFresh, size);
  memset(reinterpret_cast<void*>(block.data + size), kCanary, end - block.data - size);
  {
    const Lock lock;
    sweep_slots();
    insert(block);
  }
  ++g_count;
  g_bytes += size;
  return reinterpret_cast<void*>(block.data);
}

bool in_arena(const void* block) {
  const auto address = reinterpret_cast<uintptr_t>(block);
  return g_arena != 0 && address >= g_arena && address < g_arena + kArena;
}

/// The live block at `data`, which must exist.
Block block_at(const void* data) {
  auto address = reinterpret_cast<uintptr_t>(data);
  const Lock lock;
  // A block of zero bytes is at the very end of its page.
  for (const auto first : {address / kPage * kPage, address / kPage * kPage - kPage}) {
    const Block* found = find(first);
    if (found != nullptr && found->data == address) return *found;
  }
  fault("free of what is no living block", data);
}

void check_canary(const Block& block, uintptr_t from, uintptr_t to, const char* what) {
  for (auto at = from; at < to; ++at) {
    if (*reinterpret_cast<unsigned char*>(at) != kCanary) {
      char line[160];
      snprintf(line, sizeof line, "%s a block of %zu bytes was written (found when it was freed)", what, block.size);
      fault(line, reinterpret_cast<void*>(at));
    }
  }
}

void release(void* data) {
  const auto block = block_at(data);
  const auto end = block.first + block.pages * kPage;
  check_canary(block, block.first, block.data, "before");
  check_canary(block, block.data + block.size, end, "behind");
  // Mapping the pages again returns the memory and merges the mappings.
  mmap(reinterpret_cast<void*>(block.first), block.pages * kPage, PROT_NONE,
       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0);
  const Lock lock;
  find(block.first)->first = 1;
  --g_living;
}

struct Summary {
  Summary() {
    void* frame[1];
    backtrace(frame, 1);  // loads its library now, not during a fault
  }
  ~Summary() {
    if (guard() == Guard::Off) return;
    char line[200];
    snprintf(line, sizeof line,
             "guard: %llu blocks, %llu of them tensors, %.1f GB; left to the C library: %llu blocks, %llu tensors\n",
             static_cast<unsigned long long>(g_count.load()), static_cast<unsigned long long>(g_tensors.load()),
             static_cast<double>(g_bytes.load()) / 1e9, static_cast<unsigned long long>(g_unguarded.load()),
             static_cast<unsigned long long>(g_unguarded_tensors.load()));
    say(line);
  }
} g_summary;

}  // namespace

#define HMRNN_VISIBLE __attribute__((visibility("default")))

extern "C" {

HMRNN_VISIBLE void* hmrnn_guard_allocate(size_t size) {
  void* block = allocate(size, 1);
  ++(block != nullptr ? g_tensors : g_unguarded_tensors);
  return block;
}
HMRNN_VISIBLE void hmrnn_guard_free(void* block) { free(block); }
HMRNN_VISIBLE void hmrnn_guard_begin() { g_begun = true; }
HMRNN_VISIBLE bool hmrnn_guard_active() { return guard() != Guard::Off; }
HMRNN_VISIBLE uint64_t hmrnn_guard_blocks() { return g_count; }
HMRNN_VISIBLE void hmrnn_guard_at_work(const char* what) { g_at_work = what; }

HMRNN_VISIBLE void* malloc(size_t size) {
  void* block = allocate(size, kMallocAlignment);
  return block != nullptr ? block : __libc_malloc(size);
}

HMRNN_VISIBLE void free(void* block) {
  if (in_arena(block)) return release(block);
  __libc_free(block);
}

HMRNN_VISIBLE void* calloc(size_t count, size_t size) {
  size_t bytes = 0;
  if (!__builtin_mul_overflow(count, size, &bytes)) {
    if (void* block = allocate(bytes, kMallocAlignment)) return memset(block, 0, bytes);
  }
  return __libc_calloc(count, size);
}

HMRNN_VISIBLE void* realloc(void* block, size_t size) {
  if (block == nullptr) return malloc(size);
  if (!in_arena(block)) return __libc_realloc(block, size);
  const size_t before = block_at(block).size;
  void* moved = malloc(size);
  if (moved == nullptr) return nullptr;
  memcpy(moved, block, std::min(before, size));
  release(block);
  return moved;
}

HMRNN_VISIBLE void* memalign(size_t alignment, size_t size) {
  void* block = allocate(size, std::max(alignment, kMallocAlignment));
  return block != nullptr ? block : __libc_memalign(alignment, size);
}

HMRNN_VISIBLE void* aligned_alloc(size_t alignment, size_t size) { return memalign(alignment, size); }

HMRNN_VISIBLE int posix_memalign(void** block, size_t alignment, size_t size) {
  void* made = memalign(alignment, size);
  if (made == nullptr) return ENOMEM;
  *block = made;
  return 0;
}

HMRNN_VISIBLE void* valloc(size_t size) { return memalign(kPage, size); }

HMRNN_VISIBLE size_t malloc_usable_size(void* block) {
  if (in_arena(block)) return block_at(block).size;
  static const auto next = reinterpret_cast<size_t (*)(void*)>(dlsym(RTLD_NEXT, "malloc_usable_size"));
  return next(block);
}

}  // extern "C"
