#!/usr/bin/env bash
# Code compiled with clang calls LLVM's OpenMP runtime, LibTorch calls GNU's. Tests that programs link and that both get
# the same runtime, so that at::set_num_threads affects both.
set -euo pipefail
if ! command -v clang++ > /dev/null || ! echo 'int main() { return 0; }' | clang++ -fopenmp -x c++ - -o /dev/null 2> /dev/null; then
  echo "skipped: no clang++ with libomp (Debian: clang and libomp-dev)"
  exit 0
fi
root=$PWD
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

cat > "$work/CMakeLists.txt" <<END
cmake_minimum_required(VERSION 3.22)
project(threads CXX)
include($root/cmake/LibTorch.cmake)
hmrnn_find_libtorch(error)
if(error)
  message(FATAL_ERROR "\${error}")
endif()
add_executable(threads main.cpp)
target_link_libraries(threads PRIVATE hmrnn::torch \${CMAKE_DL_LIBS})
END
cat > "$work/main.cpp" <<'END'
#include <ATen/Parallel.h>
#include <dlfcn.h>
#include <omp.h>

#include <cstdio>
#include <string>

std::string library_of(const char* name) {
  Dl_info info;
  void* p = dlsym(RTLD_DEFAULT, name);
  return p != nullptr && dladdr(p, &info) != 0 ? info.dli_fname : "none";
}

int main() {
  int failed = 0;
  for (const int wanted : {2, 3}) {
    at::set_num_threads(wanted);  // a call of LibTorch's
    int got = 0;
    at::parallel_for(0, wanted, 1, [&](int64_t begin, int64_t) {  // compiled here
      if (begin == 0) got = omp_get_num_threads();
    });
    std::printf("%d threads wanted, %d got\n", wanted, got);
    failed += got != wanted;
  }
  const auto llvm = library_of("__kmpc_fork_call"), gnu = library_of("GOMP_parallel");
  std::printf("__kmpc_fork_call is in %s, GOMP_parallel in %s\n", llvm.c_str(), gnu.c_str());
  return failed + (llvm != gnu);
}
END
cmake -S "$work" -B "$work/build" -G Ninja -DCMAKE_CXX_COMPILER=clang++ > "$work/log" 2>&1 || { cat "$work/log"; exit 1; }
cmake --build "$work/build" > "$work/log" 2>&1 || { cat "$work/log"; exit 1; }
OMP_NUM_THREADS=1 OMP_DYNAMIC=false "$work/build/threads"
