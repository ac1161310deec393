# What python/pyproject.toml has built and put into the wheel: the libraries beside the modules of the package, and the
# release of LibTorch that they were built with, which the package compares with the torch that is installed.
# In a virtual environment the folders hmrnn/ and torch/ are neighbours.
set(_libraries hmrnn)
if(TARGET hmrnn_cuda)
  list(APPEND _libraries hmrnn_cuda)
endif()
set_target_properties(${_libraries} PROPERTIES INSTALL_RPATH "$ORIGIN;$ORIGIN/../torch/lib")
install(TARGETS ${_libraries} LIBRARY DESTINATION hmrnn COMPONENT python)
file(WRITE ${PROJECT_BINARY_DIR}/torch_version.txt "${HMRNN_TORCH_VERSION}\n")
install(FILES ${PROJECT_BINARY_DIR}/torch_version.txt DESTINATION hmrnn COMPONENT python)
add_custom_target(hmrnn_python DEPENDS ${_libraries})
