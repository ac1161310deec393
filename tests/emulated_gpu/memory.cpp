// Memory of the emulated device: a range of addresses that the host may access only while the device works. Fenced, it
// may always access what is allocated: thousands of separate pages would have to be protected after each kernel.
#include <sys/mman.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <map>
#include <memory>
#include <mutex>

#include "device.h"

namespace emulated_gpu {

namespace {

std::recursive_mutex mutex;

size_t total_bytes() {
  const char* text = std::getenv("EMULATED_GPU_MIB");
  return (text ? std::strtoull(text, nullptr, 10) : 4096) << 20;
}

class Memory {
 public:
  Memory() : size_(total_bytes()) {
    void* at = mmap(nullptr, size_, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (at == MAP_FAILED) fail("no room for the device's memory");
    base_ = static_cast<char*>(at);
    if (!fenced_) madvise(base_, size_, MADV_HUGEPAGE);  // fewer pages to protect and unprotect
    free_[0] = size_;
  }

  void* allocate(size_t bytes) {
    // Fenced: separate pages; the block ends at their end, up to 16 bytes, and an inaccessible page follows.
    const size_t unit = fenced_ ? kPage : 512;
    const size_t room_for = std::max<size_t>(unit, (bytes + unit - 1) / unit * unit) + (fenced_ ? kPage : 0);
    for (auto& [offset, room] : free_) {
      if (room < room_for) continue;
      const size_t at = offset, rest = room - room_for;
      free_.erase(at);
      if (rest > 0) free_[at + room_for] = rest;
      const size_t start = fenced_ ? at + room_for - kPage - (std::max<size_t>(bytes, 1) + 15) / 16 * 16 : at;
      used_[start] = {at, room_for};
      end_ = std::max(end_, at + room_for);
      const size_t first = at / kPage * kPage;
      const size_t length = (at + room_for - (fenced_ ? kPage : 0) + kPage - 1) / kPage * kPage - first;
      protect(first, length, PROT_READ | PROT_WRITE);
      std::memset(base_ + start, 0xff, std::min<size_t>(bytes, size_t{64} << 20));  // NaN: not written yet
      if (depth_ == 0 && !fenced_) protect(first, length, PROT_NONE);
      return base_ + start;
    }
    return nullptr;
  }

  bool release(void* pointer) {
    const auto found = used_.find(static_cast<size_t>(static_cast<char*>(pointer) - base_));
    if (found == used_.end()) return false;
    auto [at, bytes] = found->second;
    used_.erase(found);
    const size_t first = (at + kPage - 1) / kPage * kPage, last = (at + bytes) / kPage * kPage;
    if (first < last) madvise(base_ + first, last - first, MADV_DONTNEED);
    if (fenced_) mprotect(base_ + at, bytes, PROT_NONE);
    auto next = free_.lower_bound(at);
    if (next != free_.end() && at + bytes == next->first) {
      bytes += next->second;
      next = free_.erase(next);
    }
    if (next != free_.begin() && std::prev(next)->first + std::prev(next)->second == at) {
      std::prev(next)->second += bytes;
    } else {
      free_[at] = bytes;
    }
    return true;
  }

  bool contains(const void* pointer) const { return pointer >= base_ && pointer < base_ + size_; }
  size_t total() const { return size_; }
  size_t available() const {
    size_t sum = 0;
    for (const auto& [offset, room] : free_) sum += room;
    return sum;
  }
  void open() {
    if (depth_++ == 0 && !fenced_) protect(0, used_bytes(), PROT_READ | PROT_WRITE);
  }
  void close() {
    if (--depth_ == 0 && !fenced_) protect(0, used_bytes(), PROT_NONE);
  }

 private:
  static constexpr size_t kPage = 4096;
  struct Block {
    size_t at, bytes;
  };

  size_t used_bytes() const { return std::min(size_, (end_ + kPage - 1) / kPage * kPage); }
  void protect(size_t at, size_t bytes, int rights) {
    if (bytes > 0 && mprotect(base_ + at, bytes, rights) != 0) fail("mprotect of the device's memory");
  }

  size_t size_, end_ = 0;
  char* base_ = nullptr;
  const bool fenced_ = std::getenv("EMULATED_GPU_FENCED") != nullptr;
  std::map<size_t, size_t> free_;  // offset → bytes
  std::map<size_t, Block> used_;   // by the offset that was returned
  int depth_ = 0;
};

Memory& memory() {
  static auto* const one = new Memory;  // never destroyed
  return *one;
}

std::map<const char*, size_t>& pinned() {
  static auto* const one = new std::map<const char*, size_t>;
  return *one;
}

}  // namespace

MemoryAccess::MemoryAccess() {
  const std::lock_guard<std::recursive_mutex> lock(mutex);
  memory().open();
}
MemoryAccess::~MemoryAccess() {
  const std::lock_guard<std::recursive_mutex> lock(mutex);
  memory().close();
}

MemoryKind kind_of(const void* pointer) {
  const std::lock_guard<std::recursive_mutex> lock(mutex);
  if (memory().contains(pointer)) return MemoryKind::Device;
  const auto* p = static_cast<const char*>(pointer);
  auto found = pinned().upper_bound(p);
  if (found == pinned().begin()) return MemoryKind::Pageable;
  --found;
  return p < found->first + found->second ? MemoryKind::Pinned : MemoryKind::Pageable;
}

}  // namespace emulated_gpu

using namespace emulated_gpu;

extern "C" {

cudaError_t cudaMalloc(void** out, size_t bytes) {
  if (const auto error = check_unsafe_call()) return remember(error);
  const std::lock_guard<std::recursive_mutex> lock(mutex);
  *out = memory().allocate(bytes);
  return remember(*out ? cudaSuccess : cudaErrorMemoryAllocation);
}

cudaError_t cudaFree(void* pointer) {
  if (const auto error = check_unsafe_call()) return remember(error);
  if (!pointer) return cudaSuccess;
  finish_all();  // as the runtime does
  const std::lock_guard<std::recursive_mutex> lock(mutex);
  return remember(memory().release(pointer) ? cudaSuccess : cudaErrorInvalidValue);
}

cudaError_t cudaMemGetInfo(size_t* free_bytes, size_t* total) {
  const std::lock_guard<std::recursive_mutex> lock(mutex);
  *free_bytes = memory().available();
  *total = memory().total();
  return cudaSuccess;
}

cudaError_t cudaHostAlloc(void** out, size_t bytes, unsigned) {
  if (const auto error = check_unsafe_call()) return remember(error);
  const std::lock_guard<std::recursive_mutex> lock(mutex);
  *out = std::aligned_alloc(4096, (bytes + 4095) / 4096 * 4096);
  if (!*out) return remember(cudaErrorMemoryAllocation);
  pinned()[static_cast<char*>(*out)] = bytes;
  return cudaSuccess;
}

cudaError_t cudaFreeHost(void* pointer) {
  if (const auto error = check_unsafe_call()) return remember(error);
  finish_all();
  const std::lock_guard<std::recursive_mutex> lock(mutex);
  if (pinned().erase(static_cast<char*>(pointer)) == 0) return remember(cudaErrorInvalidValue);
  std::free(pointer);
  return cudaSuccess;
}

cudaError_t cudaPointerGetAttributes(cudaPointerAttributes* attributes, const void* pointer) {
  const auto kind = kind_of(pointer);
  *attributes = {};
  attributes->type = kind == MemoryKind::Device   ? cudaMemoryTypeDevice
                     : kind == MemoryKind::Pinned ? cudaMemoryTypeHost
                                                  : cudaMemoryTypeUnregistered;
  if (kind != MemoryKind::Pageable) attributes->devicePointer = const_cast<void*>(pointer);
  if (kind != MemoryKind::Device) attributes->hostPointer = const_cast<void*>(pointer);
  return cudaSuccess;
}

cudaError_t cudaMemcpyAsync(void* to, const void* from, size_t bytes, cudaMemcpyKind, cudaStream_t stream) {
  if (bytes == 0) return cudaSuccess;
  const bool pageable = kind_of(to) == MemoryKind::Pageable || kind_of(from) == MemoryKind::Pageable;
  if (pageable && is_capturing(stream)) return remember(cudaErrorStreamCaptureUnsupported);
  if (kind_of(from) == MemoryKind::Pageable) {  // the runtime stages it before it returns
    auto staged = std::make_shared<std::string>(static_cast<const char*>(from), bytes);
    return remember(enqueue(stream, "memcpy", [=] { std::memcpy(to, staged->data(), bytes); }));
  }
  auto error = enqueue(stream, "memcpy", [=] { std::memmove(to, from, bytes); });
  if (error == cudaSuccess && kind_of(to) == MemoryKind::Pageable) error = finish(stream);
  return remember(error);
}

cudaError_t cudaMemcpy(void* to, const void* from, size_t bytes, cudaMemcpyKind kind) {
  if (const auto error = check_unsafe_call()) return remember(error);
  const auto error = cudaMemcpyAsync(to, from, bytes, kind, nullptr);
  return error == cudaSuccess ? remember(finish(nullptr)) : error;
}

cudaError_t cudaMemsetAsync(void* to, int value, size_t bytes, cudaStream_t stream) {
  return remember(enqueue(stream, "memset", [=] { std::memset(to, value, bytes); }));
}

cudaError_t cudaMemset(void* to, int value, size_t bytes) {
  if (const auto error = check_unsafe_call()) return remember(error);
  return cudaMemsetAsync(to, value, bytes, nullptr);
}

}  // extern "C"
