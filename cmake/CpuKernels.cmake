# *_kernel.cpp files are compiled once per instruction set; the set is chosen at run time. They must not use the
# precompiled header, which has at::vec for the generic set.
file(GLOB_RECURSE HMRNN_KERNELS CONFIGURE_DEPENDS hmrnn/*_kernel.cpp)
if(HMRNN_KERNELS)
  set(_isas DEFAULT)
  if(CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|AMD64")
    list(APPEND _isas AVX2 AVX512 AVX512_BF16 AVX512_WIDE AMX)
  endif()
  set(_flags_DEFAULT)
  set(_flags_AVX2 -mavx2 -mfma -mf16c -DCPU_CAPABILITY_AVX2)
  set(_flags_AVX512 -mavx512f -mavx512bw -mavx512vl -mavx512dq -mfma -mf16c -DCPU_CAPABILITY_AVX512)
  set(_flags_AVX512_BF16 ${_flags_AVX512} -mavx512bf16)
  set(_flags_AVX512_WIDE ${_flags_AVX512_BF16} -DHMRNN_WIDE_PRODUCTS)
  set(_flags_AMX ${_flags_AVX512_WIDE} -DHMRNN_TILE_PRODUCTS) # wide products while oneDNN is switched off
  set(_sources_AMX ${HMRNN_KERNELS})
  list(FILTER _sources_AMX INCLUDE REGEX "/row_product[^/]*$") # these two have products alone
  set(_sources_AVX512_WIDE ${_sources_AMX})
  set(_optimise -O3)
  if(HMRNN_SANITIZE)
    # Row functions are inlined completely: with the sanitizers' instrumentation, -O3 takes g++ many minutes per file,
    # and half of the remaining time goes into guards of a stack that only spills registers.
    set(_optimise -O1 "$<$<CXX_COMPILER_ID:GNU>:SHELL:--param asan-stack=0>")
  endif()
  foreach(_isa IN LISTS _isas)
    set(_sources ${HMRNN_KERNELS})
    if(DEFINED _sources_${_isa})
      set(_sources ${_sources_${_isa}})
    endif()
    add_library(hmrnn_kernels_${_isa} OBJECT ${_sources})
    target_include_directories(hmrnn_kernels_${_isa} PRIVATE ${PROJECT_SOURCE_DIR})
    target_link_libraries(hmrnn_kernels_${_isa} PRIVATE hmrnn_options hmrnn::torch)
    # ATen's vectorised sigmoid and exp guarantee nothing about errno or traps; neither do the kernels.
    set(_level ${_optimise})
    if(_isa STREQUAL "DEFAULT" AND CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|AMD64" AND NOT HMRNN_SANITIZE)
      set(_level -O2) # vectors are arrays here (cell_kernel.cpp), and -O3 would unroll every loop over one
    endif()
    target_compile_options(hmrnn_kernels_${_isa} PRIVATE
      -DCPU_CAPABILITY=${_isa} ${_flags_${_isa}} ${_level} -fno-math-errno -fno-trapping-math
      $<$<CXX_COMPILER_ID:GNU>:-Wno-maybe-uninitialized> $<$<CXX_COMPILER_ID:GNU>:-Wno-uninitialized>) # g++ 12 warns about its own AVX-512 intrinsics
    target_sources(hmrnn PRIVATE $<TARGET_OBJECTS:hmrnn_kernels_${_isa}>)
    list(APPEND HMRNN_KERNEL_OBJECTS $<TARGET_OBJECTS:hmrnn_kernels_${_isa}>)
    list(APPEND HMRNN_KERNEL_DEFINITIONS HMRNN_KERNELS_${_isa}=1)
  endforeach()
  # Only for the sources that choose a set: the programs reuse the library's precompiled header, and g++ rejects a
  # precompiled header with definitions that the source lacks.
  set_source_files_properties(${HMRNN_INTERNAL_SOURCES} PROPERTIES COMPILE_DEFINITIONS "${HMRNN_KERNEL_DEFINITIONS}")
endif()
