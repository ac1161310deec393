# Files of `cmake --install` and `cpack`: headers, libhmrnn, libhmrnn_train (and libhmrnn_cuda), package files for CMake
# and pkg-config, programs. No file contains the installation folder, so that it can be moved.
include(GNUInstallDirs)
include(CMakePackageConfigHelpers)

set(HMRNN_LIBTORCH_RUNTIME "" CACHE PATH
    "Where LibTorch lies on the machines that the package is for, if not where it is here")
if(NOT HMRNN_LIBTORCH_RUNTIME)
  set(HMRNN_LIBTORCH_RUNTIME ${HMRNN_TORCH_ROOT})
endif()

# ---------------------------------------------------------------- headers
# The public headers: hmrnn/hmrnn.h, hmrnn/train.h and all headers that they include.
function(hmrnn_public_headers out)
  set(_todo ${ARGN})
  set(_done)
  while(_todo)
    list(POP_FRONT _todo _file)
    if(_file IN_LIST _done)
      continue()
    endif()
    list(APPEND _done ${_file})
    set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/${_file})
    file(STRINGS ${PROJECT_SOURCE_DIR}/${_file} _includes REGEX "^#include \"hmrnn/")
    foreach(_line IN LISTS _includes)
      string(REGEX REPLACE "^#include \"([^\"]+)\".*" "\\1" _line "${_line}")
      list(APPEND _todo ${_line})
    endforeach()
  endwhile()
  set(${out} ${_done} PARENT_SCOPE)
endfunction()

set(_entry_headers hmrnn/hmrnn.h)
if(HMRNN_TRAIN)
  list(APPEND _entry_headers hmrnn/train.h)
endif()
hmrnn_public_headers(_headers ${_entry_headers})
foreach(_file IN LISTS _headers)
  get_filename_component(_dir ${_file} DIRECTORY)
  install(FILES ${_file} DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/${_dir})
endforeach()

# ---------------------------------------------------------------- libraries and programs
# The SONAME contains the minor version, since a minor release may change the interface.
set(_libraries hmrnn)
if(HMRNN_TRAIN)
  list(APPEND _libraries hmrnn_train)
endif()
set_target_properties(${_libraries} PROPERTIES
  VERSION ${PROJECT_VERSION}
  SOVERSION ${PROJECT_VERSION_MAJOR}.${PROJECT_VERSION_MINOR}
  INSTALL_RPATH "$ORIGIN;${HMRNN_LIBTORCH_RUNTIME}/lib")
install(TARGETS hmrnn EXPORT hmrnnTargets
  LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR}
  INCLUDES DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
if(HMRNN_TRAIN) # a separate file of targets, which the package reads for COMPONENTS train
  install(TARGETS hmrnn_train EXPORT hmrnnTrainTargets
    LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR}
    INCLUDES DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
endif()
if(TARGET hmrnn_cuda) # opened at run time; no target links it
  set_target_properties(hmrnn_cuda PROPERTIES INSTALL_RPATH "$ORIGIN;${HMRNN_LIBTORCH_RUNTIME}/lib")
  install(TARGETS hmrnn_cuda LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR})
endif()
if(HMRNN_PROGRAMS)
  get_property(_targets DIRECTORY examples PROPERTY BUILDSYSTEM_TARGETS)
  set(_programs) # without the static library that they share
  foreach(_target IN LISTS _targets)
    get_target_property(_type ${_target} TYPE)
    if(_type STREQUAL "EXECUTABLE")
      list(APPEND _programs ${_target})
    endif()
  endforeach()
  file(RELATIVE_PATH _lib_from_bin /${CMAKE_INSTALL_BINDIR} /${CMAKE_INSTALL_LIBDIR})
  set_target_properties(${_programs} PROPERTIES
    INSTALL_RPATH "$ORIGIN/${_lib_from_bin};${HMRNN_LIBTORCH_RUNTIME}/lib")
  install(TARGETS ${_programs} RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
endif()
install(FILES LICENSE DESTINATION ${CMAKE_INSTALL_DOCDIR})

# ---------------------------------------------------------------- CMake and pkg-config
set(_package ${CMAKE_INSTALL_LIBDIR}/cmake/hmrnn)
string(REGEX MATCH "^[0-9]+\\.[0-9]+" HMRNN_TORCH_MINOR ${HMRNN_TORCH_VERSION})
configure_package_config_file(cmake/hmrnnConfig.cmake.in ${PROJECT_BINARY_DIR}/package/hmrnnConfig.cmake
  INSTALL_DESTINATION ${_package} NO_SET_AND_CHECK_MACRO)
write_basic_package_version_file(${PROJECT_BINARY_DIR}/package/hmrnnConfigVersion.cmake
  COMPATIBILITY SameMinorVersion)
install(EXPORT hmrnnTargets NAMESPACE hmrnn:: DESTINATION ${_package})
if(HMRNN_TRAIN)
  install(EXPORT hmrnnTrainTargets NAMESPACE hmrnn:: DESTINATION ${_package})
endif()
install(FILES cmake/LibTorch.cmake ${PROJECT_BINARY_DIR}/package/hmrnnConfig.cmake
              ${PROJECT_BINARY_DIR}/package/hmrnnConfigVersion.cmake
        DESTINATION ${_package})

file(RELATIVE_PATH HMRNN_PC_TO_PREFIX /${CMAKE_INSTALL_LIBDIR}/pkgconfig /)
string(REGEX REPLACE "/$" "" HMRNN_PC_TO_PREFIX "${HMRNN_PC_TO_PREFIX}")
if(EXISTS ${HMRNN_TORCH_ROOT}/lib/libgomp.so.1)
  set(HMRNN_PC_OPENMP -l:libgomp.so.1) # the wheel's own, see LibTorch.cmake
else()
  set(HMRNN_PC_OPENMP ${OpenMP_CXX_FLAGS})
endif()
set(_packages hmrnn)
if(HMRNN_TRAIN)
  list(APPEND _packages hmrnn_train)
endif()
foreach(_name IN LISTS _packages)
  configure_file(cmake/${_name}.pc.in ${PROJECT_BINARY_DIR}/package/${_name}.pc @ONLY)
  install(FILES ${PROJECT_BINARY_DIR}/package/${_name}.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
endforeach()

# ---------------------------------------------------------------- CPack
if(NOT PROJECT_IS_TOP_LEVEL)
  return()
endif()
set(CPACK_PACKAGE_NAME hmrnn)
set(CPACK_PACKAGE_CONTACT "hmrnn maintainers <maintainers@hmrnn.invalid>")
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "${PROJECT_DESCRIPTION}")
set(CPACK_RESOURCE_FILE_LICENSE ${PROJECT_SOURCE_DIR}/LICENSE)
set(CPACK_STRIP_FILES ON)
set(CPACK_GENERATOR TGZ)
find_program(HMRNN_DPKG_SHLIBDEPS dpkg-shlibdeps)
mark_as_advanced(HMRNN_DPKG_SHLIBDEPS)
if(HMRNN_DPKG_SHLIBDEPS) # dpkg-dev
  list(APPEND CPACK_GENERATOR DEB)
endif()
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_SECTION science)
# Debian has no package of this LibTorch: it is excluded from the dependencies and named in the description.
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS_PRIVATE_DIRS ${HMRNN_TORCH_ROOT}/lib)
set(CPACK_DEBIAN_PACKAGE_RECOMMENDS "g++, cmake")
set(CPACK_DEBIAN_PACKAGE_DESCRIPTION
    "Programs, libraries and headers. Needs LibTorch ${HMRNN_TORCH_VERSION}, looked for in ${HMRNN_LIBTORCH_RUNTIME},\n"
    "in CMAKE_PREFIX_PATH (to build with it) and in LD_LIBRARY_PATH (to run).")
string(REPLACE ";" "" CPACK_DEBIAN_PACKAGE_DESCRIPTION "${CPACK_DEBIAN_PACKAGE_DESCRIPTION}")
include(CPack)
