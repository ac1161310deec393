// The device code of libhmrnn_cuda, compiled for the host. All *.cu files are included as one, with their launches
// rewritten (launches.sed): KERNEL(kernel, argument) registers the kernel's instance under the name that the runtime
// uses. cooperative_groups.h and tensor_cores.h come from device_headers.
#include <c10/util/BFloat16.h>
#include <cuda_runtime.h>
#include <cxxabi.h>

#include <array>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <type_traits>
#include <typeinfo>

#include "block.h"
#include "device.h"

namespace emulated_gpu {

template <auto kernel>
struct Instance {};

/// Registers a kernel of one argument when the program starts.
template <class Argument, void (*kernel)(Argument)>
struct Added {
  static bool add() {
    int status = 0;
    char* text = abi::__cxa_demangle(typeid(Instance<kernel>).name(), nullptr, nullptr, &status);
    // "emulated_gpu::Instance<&(NAME)>"
    std::string name = text;
    std::free(text);
    name = name.substr(name.find('&') + 1);
    name.pop_back();
    if (name.front() == '(' && name.back() == ')') name = name.substr(1, name.size() - 2);
    add_kernel(name, [](const Launch& launch) -> Work {
      return [launch, argument = *static_cast<std::remove_const_t<Argument>*>(launch.arguments[0])] {
        launch_grid(launch.grid, launch.block, launch.shared, launch.together, [&] { kernel(argument); });
      };
    });
    return true;
  }
  static inline const bool done = add();
};

template <class Argument>
struct Taking {
  template <void (*kernel)(Argument)>
  static void add() {
    (void)Added<Argument, kernel>::done;
  }
};

}  // namespace emulated_gpu

#define KERNEL(kernel, argument) emulated_gpu::Taking<std::decay_t<decltype(argument)>>::template add<kernel>()

#undef __global__
#undef __shared__
#undef __host__
#undef __device__
#undef __forceinline__
#undef __grid_constant__
#undef __launch_bounds__
#define __launch_bounds__(threads, blocks)
#define __global__
#define __shared__ static
#define __host__
#define __device__
#define __forceinline__ inline
#define __grid_constant__
#define threadIdx (emulated_gpu::here().thread)
#define blockIdx (emulated_gpu::here().block)
#define blockDim (emulated_gpu::here().threads)
#define gridDim (emulated_gpu::here().blocks)
#define __CUDACC__
#define __CUDA_ARCH__ 900

#pragma GCC diagnostic ignored "-Wunused-variable"  // variables that only launches used
#include "kernels.inc"
