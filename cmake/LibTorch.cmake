# hmrnn_find_libtorch(ERROR): finds LibTorch, sets HMRNN_TORCH_ROOT and HMRNN_TORCH_VERSION, and defines
#   hmrnn::torch       headers, libtorch_cpu and libc10: all that the CPU library and the programs link
#   hmrnn::torch_cuda  libtorch_cuda and libc10_cuda: linked by libhmrnn_cuda alone
# ERROR becomes one line that says what is missing; empty: found. The installed package brings this file along.
#
# LibTorch's own package file calls find_package(CUDA) whenever the binary was built with CUDA, so it refuses a
# machine without the toolkit although libtorch_cpu would run there. Hence this look-up.
#
# Order: a find_package(Torch) before this one (two LibTorch in a process cannot work), Torch_DIR, CMAKE_PREFIX_PATH,
# what cmake/bootstrap.sh noted in cmake/bootstrap.local.cmake or what the installed package was built with
# (HMRNN_LIBTORCH_BUILT_WITH), the cache folder.
#
# HMRNN_LIBTORCH_VERSION is the release that is looked for. With HMRNN_LIBTORCH_STRICT another minor release is an
# error: LibTorch's C++ interface is no stable one, and a library compiled against the one may not run with the other.

if(NOT HMRNN_LIBTORCH_VERSION)
  set(HMRNN_LIBTORCH_VERSION 2.11.0)
endif()

include(${CMAKE_CURRENT_LIST_DIR}/bootstrap.local.cmake OPTIONAL)

# Folders that may hold lib/libtorch_cpu.so, best first.
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
    # `python -c "import torch; print(torch.utils.cmake_prefix_path)"` names share/cmake.
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

# The release that the headers in `include` are of; empty if they do not say.
function(_hmrnn_libtorch_version include out)
  set(${out} "" PARENT_SCOPE)
  # The second place is that of releases before 2.9.
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
  # What an earlier run found may be gone by now, or not be what is asked for any more.
  if(HMRNN_TORCH_CPU AND (NOT EXISTS "${HMRNN_TORCH_CPU}" OR NOT "${HMRNN_TORCH_HINTS}" STREQUAL "${_hints}"))
    foreach(_entry CPU C10 INCLUDE CUDA C10_CUDA)
      unset(HMRNN_TORCH_${_entry} CACHE)
    endforeach()
  endif()
  set(HMRNN_TORCH_HINTS "${_hints}" CACHE INTERNAL "where LibTorch was looked for")

  set(_ask "set CMAKE_PREFIX_PATH or Torch_DIR to a LibTorch ${HMRNN_LIBTORCH_VERSION}")
  find_library(HMRNN_TORCH_CPU torch_cpu HINTS ${_hints} PATH_SUFFIXES lib NO_DEFAULT_PATH)
  find_library(HMRNN_TORCH_CPU torch_cpu)
  mark_as_advanced(HMRNN_TORCH_CPU HMRNN_TORCH_C10 HMRNN_TORCH_INCLUDE HMRNN_TORCH_CUDA HMRNN_TORCH_C10_CUDA)
  if(NOT HMRNN_TORCH_CPU)
    set(${error} "LibTorch was not found: ${_ask}" PARENT_SCOPE)
    return()
  endif()
  get_filename_component(_lib ${HMRNN_TORCH_CPU} DIRECTORY)
  get_filename_component(_root ${_lib} DIRECTORY)
  find_path(HMRNN_TORCH_INCLUDE torch/csrc/Export.h HINTS ${_root}/include NO_DEFAULT_PATH)
  find_library(HMRNN_TORCH_C10 c10 HINTS ${_lib} NO_DEFAULT_PATH)
  if(NOT HMRNN_TORCH_INCLUDE OR NOT HMRNN_TORCH_C10)
    set(${error} "the LibTorch in ${_root} has no headers or no libc10: ${_ask}" PARENT_SCOPE)
    return()
  endif()
  _hmrnn_libtorch_version(${HMRNN_TORCH_INCLUDE} _version)
  if(NOT _version)
    set(${error} "the LibTorch in ${_root} does not say its version: ${_ask}" PARENT_SCOPE)
    return()
  endif()
  string(REGEX MATCH "^[0-9]+\\.[0-9]+\\." _found "${_version}.")
  string(REGEX MATCH "^[0-9]+\\.[0-9]+\\." _wanted "${HMRNN_LIBTORCH_VERSION}.")
  if(HMRNN_LIBTORCH_STRICT AND NOT _found STREQUAL _wanted)
    set(${error} "built with LibTorch ${HMRNN_LIBTORCH_VERSION}, but the one in ${_root} is ${_version}: ${_ask}"
        PARENT_SCOPE)
    return()
  endif()

  find_package(OpenMP QUIET COMPONENTS CXX)
  if(NOT OpenMP_CXX_FOUND)
    set(${error} "the C++ compiler has no OpenMP, which LibTorch's headers use" PARENT_SCOPE)
    return()
  endif()
  find_package(Threads QUIET REQUIRED)
  # One OpenMP runtime in the process. g++: a wheel brings its own libgomp, so that very file. clang calls functions of
  # LLVM's libomp, which has libgomp's as well: before LibTorch, so that LibTorch's calls find it first.
  set(_openmp ${OpenMP_CXX_LIBRARIES})
  if(EXISTS ${_lib}/libgomp.so.1 AND NOT "${OpenMP_CXX_LIBRARIES}" MATCHES "omp5?\\.|iomp")
    set(_openmp ${_lib}/libgomp.so.1)
  endif()

  # Global, and free of other imported targets: a project that adds this one as a sub-directory links them from above.
  if(NOT TARGET hmrnn::torch)
    add_library(hmrnn::torch INTERFACE IMPORTED GLOBAL)
    target_include_directories(hmrnn::torch INTERFACE
      ${HMRNN_TORCH_INCLUDE} ${HMRNN_TORCH_INCLUDE}/torch/csrc/api/include)
    target_link_libraries(hmrnn::torch INTERFACE
      ${_openmp} ${HMRNN_TORCH_CPU} ${HMRNN_TORCH_C10} ${CMAKE_THREAD_LIBS_INIT})
    separate_arguments(_flags UNIX_COMMAND "${OpenMP_CXX_FLAGS}")
    target_compile_options(hmrnn::torch INTERFACE "$<$<COMPILE_LANGUAGE:CXX>:${_flags}>")
    target_compile_features(hmrnn::torch INTERFACE cxx_std_20)
    # A wheel keeps the few CUDA libraries that libtorch_cpu itself names beside the torch folder.
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
