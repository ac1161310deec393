# libhmrnn_cuda: the CUDA operators in a separate library, which is opened at run time when a CUDA device is requested,
# so that CPU programs never load libtorch_cuda (which cannot even be opened without cuDNN, NCCL and others).
# Architectures: HMRNN_CUDA_ARCHITECTURES, else CMake's own settings, else the GPUs that the kernels were written for.
if(NOT HMRNN_CUDA_ARCHITECTURES)
  if(CMAKE_CUDA_ARCHITECTURES)
    set(HMRNN_CUDA_ARCHITECTURES "${CMAKE_CUDA_ARCHITECTURES}")
  elseif(NOT "$ENV{CUDAARCHS}" STREQUAL "")
    set(HMRNN_CUDA_ARCHITECTURES "$ENV{CUDAARCHS}")
  else()
    set(HMRNN_CUDA_ARCHITECTURES "80-real;90-real;90-virtual")
  endif()
endif()
if(HMRNN_CUDA STREQUAL "OFF")
  return()
endif()

include(CheckLanguage)
check_language(CUDA)
if(NOT CMAKE_CUDA_COMPILER OR NOT TARGET hmrnn::torch_cuda)
  if(HMRNN_CUDA STREQUAL "ON")
    message(FATAL_ERROR "HMRNN_CUDA=ON needs nvcc (found: '${CMAKE_CUDA_COMPILER}') and a LibTorch built with CUDA")
  endif()
  message(STATUS "CUDA: not built (HMRNN_CUDA=AUTO and nvcc or libtorch_cuda is missing)")
  return()
endif()

set(CMAKE_CUDA_ARCHITECTURES ${HMRNN_CUDA_ARCHITECTURES})
set(CMAKE_CUDA_STANDARD 17)
enable_language(CUDA)
find_package(CUDAToolkit REQUIRED)

file(GLOB_RECURSE _kernels CONFIGURE_DEPENDS hmrnn/*/cuda/*.cu)
file(GLOB_RECURSE _sources CONFIGURE_DEPENDS hmrnn/*/cuda/*.cpp)
hmrnn_group_sources(_sources ${_sources})
add_library(hmrnn_cuda SHARED ${_kernels} ${_sources})
set_target_properties(hmrnn_cuda PROPERTIES DEFINE_SYMBOL "") # to reuse libhmrnn's precompiled header
target_include_directories(hmrnn_cuda PRIVATE ${CUDAToolkit_INCLUDE_DIRS})
# Ubuntu's compiler links with --as-needed and would drop libtorch_cuda, whose operators are only registered, never
# named.
target_link_options(hmrnn_cuda PRIVATE -Wl,--no-as-needed)
target_link_libraries(hmrnn_cuda PRIVATE hmrnn_options hmrnn hmrnn::torch_cuda CUDA::cudart)
target_precompile_headers(hmrnn_cuda REUSE_FROM hmrnn)
target_compile_options(hmrnn_cuda PRIVATE
  $<$<COMPILE_LANGUAGE:CUDA>:--expt-relaxed-constexpr --expt-extended-lambda -Xcompiler=-fPIC>)
message(STATUS "CUDA: libhmrnn_cuda for ${HMRNN_CUDA_ARCHITECTURES}")
