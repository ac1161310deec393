#include <c10/util/Exception.h>
#include <torch/types.h>

#include <new>

#include "catch.h"
#include "hmrnn/error.h"
#include "hmrnn/run/out_of_memory.h"

using namespace hmrnn;

namespace {

/// The text of LibTorch 2.11.
const std::string kMessage =
    "CUDA out of memory. Tried to allocate 50.00 GiB. GPU 0 has a total capacity of 139.80 GiB of which 23.45 GiB is "
    "free. Including non-PyTorch memory, this process has 116.34 GiB memory in use. Of the allocated memory 115.80 GiB "
    "is allocated by PyTorch, and 12.50 MiB is reserved by PyTorch but unallocated.";

}  // namespace

TEST_CASE("out of memory on a device is one line with what was at work, asked for and free") {
  const auto found = read_failed_allocation(kMessage);
  CHECK(found.asked == "50.00 GiB");
  CHECK(found.free == "23.45 GiB");
  CHECK(found.total == "139.80 GiB");
  const auto fail = [&] { TORCH_CHECK_WITH(OutOfMemoryError, false, kMessage); };
  CHECK_THROWS_WITH(with_memory_errors_of("hm_lstm 8,8, 1234 parameters, batch 64, window 100", fail),
                    "out of memory on the device: hm_lstm 8,8, 1234 parameters, batch 64, window 100, asked for 50.00 "
                    "GiB, 23.45 GiB of 139.80 GiB free");
  CHECK_THROWS_AS(with_memory_errors_of("a model", fail), Error);
}

TEST_CASE("a message about memory that says less is passed on as far as it goes; other errors as they are") {
  const auto fail = [] {
    TORCH_CHECK_WITH(OutOfMemoryError, false, "CUDA out of memory. Tried to allocate more than 1EB memory.");
  };
  CHECK_THROWS_WITH(with_memory_errors_of("a model", fail), "out of memory on the device: a model");
  CHECK_THROWS_AS(with_memory_errors_of("a model", [] { TORCH_CHECK(false, kMessage); }), c10::Error);
  bool done = false;
  with_memory_errors_of("a model", [&] { done = true; });
  CHECK(done);
}

TEST_CASE("out of memory on the CPU is one line too, LibTorch's allocator or another one") {
  const auto fail = [] { torch::empty({int64_t{1} << 50}); };
  CHECK_THROWS_WITH(with_memory_errors_of("hm_lstm 8,8", fail),
                    "out of memory: hm_lstm 8,8, asked for 4503599627370496 bytes");
  CHECK_THROWS_AS(with_memory_errors_of("hm_lstm 8,8", fail), Error);
  try {
    fail();
    FAIL("there is so much memory");
  } catch (const c10::Error& error) {
    CHECK(memory_error_of(error).value_or("") == "out of memory: asked for 4503599627370496 bytes");
  }
  CHECK_THROWS_WITH(with_memory_errors_of("hm_lstm 8,8", [] { throw std::bad_alloc(); }), "out of memory: hm_lstm 8,8");
}
