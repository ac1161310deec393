# Compiler cache, configured so that a fresh clone (continuous integration, a second work tree) hits the entries of
# earlier clones:
#   BASEDIR      paths inside the project are hashed relative to the build folder
#   DEPEND       headers are read from the compiler's dependency file instead of a second run of the preprocessor
#   PCH_EXTSUM   LibTorch's precompiled header has 600 MB and differs from one compilation to the next; it is identified
#                by a checksum of its inputs (PrecompiledHeader.cmake)
#   SLOPPINESS   required by ccache's manual for precompiled headers
#   NOHASHDIR    only if there is no debug information, which names the folder
find_program(HMRNN_CCACHE ccache)
if(HMRNN_CCACHE AND NOT CMAKE_CXX_COMPILER_LAUNCHER)
  set(_settings CCACHE_BASEDIR=${PROJECT_SOURCE_DIR} CCACHE_DEPEND=1 CCACHE_PCH_EXTSUM=1
      CCACHE_SLOPPINESS=pch_defines,time_macros,include_file_mtime,include_file_ctime)
  if(CMAKE_BUILD_TYPE STREQUAL "Release")
    list(APPEND _settings CCACHE_NOHASHDIR=1)
  endif()
  set(CMAKE_CXX_COMPILER_LAUNCHER ${CMAKE_COMMAND} -E env ${_settings} ${HMRNN_CCACHE})
  set(CMAKE_CUDA_COMPILER_LAUNCHER ${CMAKE_CXX_COMPILER_LAUNCHER})
endif()
