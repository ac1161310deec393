# hmrnn_find_libtorch(ERROR): finds LibTorch, sets HMRNN_TORCH_ROOT and HMRNN_TORCH_VERSION, and defines
#   hmrnn::torch       headers, libtorch_cpu and libc10, for the CPU libraries and the programs
#   hmrnn::torch_cuda  libtorch_cuda and libc10_cuda, for libhmrnn_cuda only
# ERROR is set to one line that says what is missing, or to an empty text. The installed package includes this file.
#
# LibTorch's own package file calls find_package(CUDA) for a binary with CUDA, and so fails on a machine without the
# toolkit, although libtorch_cpu works there. Therefore this module does the search.
#
# Search order: the result of an earlier find_package(Torch) (a process cannot contain two LibTorchs), Torch_DIR,
# CMAKE_PREFIX_PATH, the folder in cmake/bootstrap.local.cmake (written by cmake/bootstrap.sh) or the one that the
# installed package was built with (HMRNN_LIBTORCH_BUILT_WITH), the cache folder.
#
# HMRNN_LIBTORCH_VERSION is the required release. With HMRNN_LIBTORCH_STRICT another minor release is an error:
# LibTorch's C++ interface is not stable, and a library compiled against one release may not run with another.

if(NOT HMRNN_LIBTORCH_VERSION)
  set(HMRNN_LIBTORCH_VERSION 2.11.0)
endif()

include(${CMAKE_CURRENT_LIST_DIR}/bootstrap.local.cmake OPTIONAL)

# Folders that may contain lib/libtorch_cpu.so, in order of preference.
function(_hmrnn_libtorch_hints out)
  set(_hints)
  if(TORCH_INSTALL_PREFIX)
    list(APPEND _hints ${TORCH_INSTALL_PREFIX})
  endif()
  if(Torch_DIR)
    list(APPEND _hints ${Torch_DIR}/../../..)
  elseif(DEFINED ENV{Torch_DIR})
    list(APPEND _hints $ENV{Torch_DIR}/../../..)
  endif()
  set(_env_prefixes "$ENV{CMAKE_PREFIX_PATH}")
  string(REPLACE ":" ";" _env_prefixes "${_env_prefixes}")
  foreach(_prefix IN LISTS CMAKE_PREFIX_PATH _env_prefixes)
    # `python -c "import torch; print(torch.utils.cmake_prefix_path)"` prints <torch>/share/cmake.
    list(APPEND _hints ${_prefix} ${_prefix}/../.. ${_prefix}/torch)
  endforeach()
  foreach(_root IN ITEMS "${HMRNN_BOOTSTRAP_TORCH}" "${HMRNN_LIBTORCH_BUILT_WITH}")
    if(_root)
      list(APPEND _hints ${_root})
    endif()
  endforeach()
  if(DEFINED ENV{HMRNN_CACHE})
    list(APPEND _hints $ENV{HMRNN_CACHE}/libtorch-${HMRNN_LIBTORCH_VERSION}/torch)
  endif()
  list(APPEND _hints $ENV{HOME}/.cache/hmrnn/libtorch-${HMRNN_LIBTORCH_VERSION}/torch)
  set(${out} "${_hints}" PARENT_SCOPE)
endfunction()

# The release of the headers in `include`; empty if unknown.
function(_hmrnn_libtorch_version include out)
  set(${out} "" PARENT_SCOPE)
  # The second path is for releases before 2.9.
  foreach(_file torch/headeronly/version.h torch/csrc/api/include/torch/version.h)
    if(EXISTS ${include}/${_file})
      file(READ ${include}/${_file} _text)
      if(_text MATCHES "define TORCH_VERSION[ \\\r\n]+\"([0-9.]+)")
        set(${out} ${CMAKE_MATCH_1} PARENT_SCOPE)
        return()
      endif()
    endif()
  endforeach()
endfunction()

function(hmrnn_find_libtorch error)
  set(${error} "" PARENT_SCOPE)
  _hmrnn_libtorch_hints(_hints)
  # The cached result may have been deleted, or the hints may have changed since.
  if(HMRNN_TORCH_CPU AND (NOT EXISTS "${HMRNN_TORCH_CPU}" OR NOT "${HMRNN_TORCH_HINTS}" STREQUAL "${_hints}"))
    foreach(_entry CPU C10 INCLUDE CUDA C10_CUDA)
      unset(HMRNN_TORCH_${_entry} CACHE)
    endforeach()
  endif()
  set(HMRNN_TORCH_HINTS "${_hints}" CACHE INTERNAL "where LibTorch was looked for")

  set(_remedy "set CMAKE_PREFIX_PATH or Torch_DIR to a LibTorch ${HMRNN_LIBTORCH_VERSION}")
  find_library(HMRNN_TORCH_CPU torch_cpu HINTS ${_hints} PATH_SUFFIXES lib NO_DEFAULT_PATH)
  find_library(HMRNN_TORCH_CPU torch_cpu)
  mark_as_advanced(HMRNN_TORCH_CPU HMRNN_TORCH_C10 HMRNN_TORCH_INCLUDE HMRNN_TORCH_CUDA HMRNN_TORCH_C10_CUDA)
  if(NOT HMRNN_TORCH_CPU)
    set(${error} "LibTorch was not found: ${_remedy}" PARENT_SCOPE)
    return()
  endif()
  get_filename_component(_lib ${HMRNN_TORCH_CPU} DIRECTORY)
  get_filename_component(_root ${_lib} DIRECTORY)
  find_path(HMRNN_TORCH_INCLUDE torch/csrc/Export.h HINTS ${_root}/include NO_DEFAULT_PATH)
  find_library(HMRNN_TORCH_C10 c10 HINTS ${_lib} NO_DEFAULT_PATH)
  if(NOT HMRNN_TORCH_INCLUDE OR NOT HMRNN_TORCH_C10)
    set(${error} "the LibTorch in ${_root} has no headers or no libc10: ${_remedy}" PARENT_SCOPE)
    return()
  endif()
  _hmrnn_libtorch_version(${HMRNN_TORCH_INCLUDE} _version)
  if(NOT _version)
    set(${error} "the LibTorch in ${_root} does not say its version: ${_remedy}" PARENT_SCOPE)
    return()
  endif()
  string(REGEX MATCH "^[0-9]+\\.[0-9]+\\." _found "${_version}.")
  string(REGEX MATCH "^[0-9]+\\.[0-9]+\\." _wanted "${HMRNN_LIBTORCH_VERSION}.")
  if(HMRNN_LIBTORCH_STRICT AND NOT _found STREQUAL _wanted)
    set(${error} "built with LibTorch ${HMRNN_LIBTORCH_VERSION}, but the one in ${_root} is ${_version}: ${_remedy}"
        PARENT_SCOPE)
    return()
  endif()

  find_package(OpenMP QUIET COMPONENTS CXX)
  if(NOT OpenMP_CXX_FOUND)
    set(${error} "the C++ compiler has no OpenMP, which LibTorch's headers use" PARENT_SCOPE)
    return()
  endif()
  find_package(Threads QUIET REQUIRED)
  # There must be only one OpenMP runtime in the process. g++: a wheel contains its own libgomp, so link that file.
  # clang: its code needs LLVM's libomp, which also implements libgomp's functions; it comes before LibTorch, so that
  # LibTorch's calls resolve to it.
  set(_openmp ${OpenMP_CXX_LIBRARIES})
  if(EXISTS ${_lib}/libgomp.so.1 AND NOT "${OpenMP_CXX_LIBRARIES}" MATCHES "/lib(omp|omp5|iomp5)\\.")
    set(_openmp ${_lib}/libgomp.so.1)
  endif()

  # GLOBAL, and without other imported targets: a project that adds this one as a sub-directory links it from its own
  # scope.
  if(NOT TARGET hmrnn::torch)
    add_library(hmrnn::torch INTERFACE IMPORTED GLOBAL)
    target_include_directories(hmrnn::torch INTERFACE
      ${HMRNN_TORCH_INCLUDE} ${HMRNN_TORCH_INCLUDE}/torch/csrc/api/include)
    target_link_libraries(hmrnn::torch INTERFACE
      ${_openmp} ${HMRNN_TORCH_CPU} ${HMRNN_TORCH_C10} ${CMAKE_THREAD_LIBS_INIT})
    separate_arguments(_flags UNIX_COMMAND "${OpenMP_CXX_FLAGS}")
    target_compile_options(hmrnn::torch INTERFACE "$<$<COMPILE_LANGUAGE:CXX>:${_flags}>")
    target_compile_features(hmrnn::torch INTERFACE cxx_std_20)
    # A wheel keeps the few CUDA libraries that libtorch_cpu itself needs beside the torch folder.
    file(GLOB _cuda_libs LIST_DIRECTORIES true ${_root}/../nvidia/*/lib)
    target_link_options(hmrnn::torch INTERFACE -Wl,--allow-shlib-undefined)
    foreach(_dir IN LISTS _cuda_libs)
      target_link_options(hmrnn::torch INTERFACE "SHELL:-Xlinker -rpath-link -Xlinker '${_dir}'")
    endforeach()
  endif()

  find_library(HMRNN_TORCH_CUDA torch_cuda HINTS ${_lib} NO_DEFAULT_PATH)
  find_library(HMRNN_TORCH_C10_CUDA c10_cuda HINTS ${_lib} NO_DEFAULT_PATH)
  if(HMRNN_TORCH_CUDA AND HMRNN_TORCH_C10_CUDA AND NOT TARGET hmrnn::torch_cuda)
    add_library(hmrnn::torch_cuda INTERFACE IMPORTED GLOBAL)
    target_link_libraries(hmrnn::torch_cuda INTERFACE hmrnn::torch ${HMRNN_TORCH_CUDA} ${HMRNN_TORCH_C10_CUDA})
  endif()
  set(HMRNN_TORCH_ROOT ${_root} PARENT_SCOPE)
  set(HMRNN_TORCH_VERSION ${_version} PARENT_SCOPE)
endfunction()
