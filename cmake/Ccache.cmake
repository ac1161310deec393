# Compiler cache, set up so that a fresh clone (continuous integration, a second work tree) is served by what the first
# one compiled:
#   BASEDIR      paths inside the project are hashed relative to the build folder
#   DEPEND       the headers are taken from the compiler's dependency file, not from a second run of the preprocessor
#   PCH_EXTSUM   a precompiled header of LibTorch is 600 MB and differs from one compilation to the next; a checksum of
#                what it was made from stands for it (PrecompiledHeader.cmake)
#   SLOPPINESS   what the manual asks for where precompiled headers are used
#   NOHASHDIR    only where no debug information names the folder
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
