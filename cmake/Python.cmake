# For python/pyproject.toml: installs the libraries beside the package's modules in the wheel, and the LibTorch release
# that they were built with, which the package compares with the installed torch. The libraries find LibTorch by a
# relative path, since hmrnn/ and torch/ are neighbours in a virtual environment.
set(_libraries hmrnn)
if(TARGET hmrnn_cuda)
  list(APPEND _libraries hmrnn_cuda)
endif()
set_target_properties(${_libraries} PROPERTIES INSTALL_RPATH "$ORIGIN;$ORIGIN/../torch/lib")
install(TARGETS ${_libraries} LIBRARY DESTINATION hmrnn COMPONENT python)
file(WRITE ${PROJECT_BINARY_DIR}/torch_version.txt "${HMRNN_TORCH_VERSION}\n")
install(FILES ${PROJECT_BINARY_DIR}/torch_version.txt DESTINATION hmrnn COMPONENT python)
add_custom_target(hmrnn_python DEPENDS ${_libraries})
