# Finds LibTorch and defines two imported targets:
#   hmrnn::torch       headers, libtorch_cpu and libc10: all that the CPU library and the programs link
#   hmrnn::torch_cuda  libtorch_cuda and libc10_cuda: linked by libhmrnn_cuda alone
#
# LibTorch's own package file calls find_package(CUDA) whenever the binary was built with CUDA, so it refuses a
# machine without the toolkit although libtorch_cpu would run there. Hence this look-up.
#
# Order: Torch_DIR, CMAKE_PREFIX_PATH, what cmake/bootstrap.sh noted in cmake/bootstrap.local.cmake, the cache folder.

set(HMRNN_LIBTORCH_VERSION 2.11.0)

include(${CMAKE_CURRENT_LIST_DIR}/bootstrap.local.cmake OPTIONAL)

set(_hints)
if(Torch_DIR)
  list(APPEND _hints ${Torch_DIR}/../../..)
elseif(DEFINED ENV{Torch_DIR})
  list(APPEND _hints $ENV{Torch_DIR}/../../..)
endif()
set(_env_prefixes "$ENV{CMAKE_PREFIX_PATH}")
string(REPLACE ":" ";" _env_prefixes "${_env_prefixes}")
foreach(_prefix IN LISTS CMAKE_PREFIX_PATH _env_prefixes)
  # `python -c "import torch; print(torch.utils.cmake_prefix_path)"` names share/cmake.
  list(APPEND _hints ${_prefix} ${_prefix}/../..)
endforeach()
if(HMRNN_BOOTSTRAP_TORCH)
  list(APPEND _hints ${HMRNN_BOOTSTRAP_TORCH})
endif()
if(DEFINED ENV{HMRNN_CACHE})
  list(APPEND _hints $ENV{HMRNN_CACHE}/libtorch-${HMRNN_LIBTORCH_VERSION}/torch)
endif()
list(APPEND _hints $ENV{HOME}/.cache/hmrnn/libtorch-${HMRNN_LIBTORCH_VERSION}/torch)

# What an earlier run found may be gone by now, or not be what the bootstrap notes any more.
if(HMRNN_TORCH_CPU AND (NOT EXISTS "${HMRNN_TORCH_CPU}" OR NOT "${HMRNN_TORCH_HINTS}" STREQUAL "${_hints}"))
  foreach(_entry CPU C10 INCLUDE CUDA C10_CUDA)
    unset(HMRNN_TORCH_${_entry} CACHE)
  endforeach()
endif()
set(HMRNN_TORCH_HINTS "${_hints}" CACHE INTERNAL "where LibTorch was looked for")
find_library(HMRNN_TORCH_CPU torch_cpu HINTS ${_hints} PATH_SUFFIXES lib NO_DEFAULT_PATH)
find_library(HMRNN_TORCH_CPU torch_cpu)
if(NOT HMRNN_TORCH_CPU)
  message(FATAL_ERROR "LibTorch was not found. Run cmake/bootstrap.sh, or set CMAKE_PREFIX_PATH or Torch_DIR to a "
                      "LibTorch ${HMRNN_LIBTORCH_VERSION}.")
endif()
get_filename_component(_torch_lib ${HMRNN_TORCH_CPU} DIRECTORY)
get_filename_component(HMRNN_TORCH_ROOT ${_torch_lib} DIRECTORY)
find_path(HMRNN_TORCH_INCLUDE torch/csrc/Export.h HINTS ${HMRNN_TORCH_ROOT}/include NO_DEFAULT_PATH REQUIRED)
find_library(HMRNN_TORCH_C10 c10 HINTS ${_torch_lib} NO_DEFAULT_PATH REQUIRED)

file(READ ${HMRNN_TORCH_INCLUDE}/torch/headeronly/version.h _version)
if(NOT _version MATCHES "define TORCH_VERSION[ \\\r\n]+\"([0-9.]+)")
  message(FATAL_ERROR "No version of LibTorch in ${HMRNN_TORCH_INCLUDE}/torch/headeronly/version.h")
endif()
set(HMRNN_TORCH_VERSION ${CMAKE_MATCH_1})
message(STATUS "LibTorch ${HMRNN_TORCH_VERSION} in ${HMRNN_TORCH_ROOT}")

find_package(OpenMP REQUIRED COMPONENTS CXX)
# A wheel brings its own libgomp: linking that very file keeps one OpenMP runtime in the process.
if(EXISTS ${_torch_lib}/libgomp.so.1)
  set(_openmp ${_torch_lib}/libgomp.so.1)
else()
  set(_openmp OpenMP::OpenMP_CXX)
endif()
find_package(Threads REQUIRED)

if(NOT TARGET hmrnn::torch)
  add_library(hmrnn::torch INTERFACE IMPORTED)
  target_include_directories(hmrnn::torch INTERFACE
    ${HMRNN_TORCH_INCLUDE} ${HMRNN_TORCH_INCLUDE}/torch/csrc/api/include)
  target_link_libraries(hmrnn::torch INTERFACE ${HMRNN_TORCH_CPU} ${HMRNN_TORCH_C10} ${_openmp} Threads::Threads)
  target_compile_options(hmrnn::torch INTERFACE $<$<COMPILE_LANGUAGE:CXX>:${OpenMP_CXX_FLAGS}>)
  target_compile_features(hmrnn::torch INTERFACE cxx_std_20)
  # A wheel keeps the few CUDA libraries that libtorch_cpu itself names beside the torch folder.
  file(GLOB _cuda_libs LIST_DIRECTORIES true ${HMRNN_TORCH_ROOT}/../nvidia/*/lib)
  target_link_options(hmrnn::torch INTERFACE -Wl,--allow-shlib-undefined)
  foreach(_dir IN LISTS _cuda_libs)
    target_link_options(hmrnn::torch INTERFACE -Wl,-rpath-link,${_dir})
  endforeach()
endif()

find_library(HMRNN_TORCH_CUDA torch_cuda HINTS ${_torch_lib} NO_DEFAULT_PATH)
find_library(HMRNN_TORCH_C10_CUDA c10_cuda HINTS ${_torch_lib} NO_DEFAULT_PATH)
if(HMRNN_TORCH_CUDA AND HMRNN_TORCH_C10_CUDA AND NOT TARGET hmrnn::torch_cuda)
  add_library(hmrnn::torch_cuda INTERFACE IMPORTED)
  target_link_libraries(hmrnn::torch_cuda INTERFACE hmrnn::torch ${HMRNN_TORCH_CUDA} ${HMRNN_TORCH_C10_CUDA})
endif()
