# The precompiled header of LibTorch: how the compiler cache identifies it.

# Writes the checksum that identifies a target's precompiled header (ccache hashes the flags with every file anyway).
function(hmrnn_precompiled_header_checksum target header)
  file(SHA256 ${header} _sum)
  set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${header})
  file(WRITE ${CMAKE_CURRENT_BINARY_DIR}/CMakeFiles/${target}.dir/cmake_pch.hxx.gch.sum
    "${_sum} ${CMAKE_CXX_COMPILER_ID} ${CMAKE_CXX_COMPILER_VERSION} LibTorch ${HMRNN_TORCH_VERSION} ${HMRNN_TORCH_ROOT}\n")
endfunction()
