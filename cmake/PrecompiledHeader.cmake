# The precompiled header of LibTorch: which files use it, and how the compiler cache identifies it.

# Writes the checksum that identifies a target's precompiled header (ccache hashes the flags with every file anyway).
function(hmrnn_precompiled_header_checksum target header)
  file(SHA256 ${header} _sum)
  set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${header})
  file(WRITE ${CMAKE_CURRENT_BINARY_DIR}/CMakeFiles/${target}.dir/cmake_pch.hxx.gch.sum
    "${_sum} ${CMAKE_CXX_COMPILER_ID} ${CMAKE_CXX_COMPILER_VERSION} LibTorch ${HMRNN_TORCH_VERSION} ${HMRNN_TORCH_ROOT}\n")
endfunction()

# Sets `out` to whether a file includes LibTorch, directly or through headers of the project. Reads the files at
# configuration time; an outdated result costs a few seconds of compilation, but is not an error.
function(hmrnn_includes_torch file out)
  string(MD5 _key ${file})
  get_property(_known GLOBAL PROPERTY HMRNN_INCLUDES_TORCH_${_key} SET)
  if(NOT _known)
    set_property(GLOBAL PROPERTY HMRNN_INCLUDES_TORCH_${_key} FALSE) # ends the recursion if headers include each other
    file(STRINGS ${file} _includes REGEX "^ *# *include")
    set(_result FALSE)
    foreach(_line IN LISTS _includes)
      if(_line MATCHES "<(torch|ATen|c10)/")
        set(_result TRUE)
      elseif(_line MATCHES "\"([^\"]+)\"")
        get_filename_component(_dir ${file} DIRECTORY)
        foreach(_candidate ${PROJECT_SOURCE_DIR}/${CMAKE_MATCH_1} ${_dir}/${CMAKE_MATCH_1}
                           ${PROJECT_SOURCE_DIR}/tests/${CMAKE_MATCH_1})
          if(EXISTS ${_candidate})
            hmrnn_includes_torch(${_candidate} _result)
            break()
          endif()
        endforeach()
      endif()
      if(_result)
        break()
      endif()
    endforeach()
    set_property(GLOBAL PROPERTY HMRNN_INCLUDES_TORCH_${_key} ${_result})
  endif()
  get_property(_result GLOBAL PROPERTY HMRNN_INCLUDES_TORCH_${_key})
  set(${out} ${_result} PARENT_SCOPE)
endfunction()

# Files that do not include LibTorch are compiled without its precompiled header: with it, g++ takes 3 s even for an
# empty file, since it instantiates the header's pending templates again in every file.
function(hmrnn_skip_unused_precompiled_header)
  foreach(_file IN LISTS ARGN)
    hmrnn_includes_torch(${_file} _uses)
    if(NOT _uses)
      set_source_files_properties(${_file} PROPERTIES SKIP_PRECOMPILE_HEADERS ON)
    endif()
  endforeach()
endfunction()
