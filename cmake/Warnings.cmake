# hmrnn_options: the compile options of all targets of this project.
add_library(hmrnn_options INTERFACE)
target_compile_options(hmrnn_options INTERFACE
  $<$<COMPILE_LANGUAGE:CXX>:-fPIC -Wall -Wextra -Wshadow -Wno-unknown-pragmas>)
# The wheel's fmt headers precede the system's; header-only use avoids mixing them with a compiled libfmt.
target_compile_definitions(hmrnn_options INTERFACE FMT_HEADER_ONLY=1)
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  # -fpch-preprocess: makes the precompiled header visible to ccache in the preprocessed file.
  target_compile_options(hmrnn_options INTERFACE $<$<COMPILE_LANGUAGE:CXX>:-fpch-preprocess>
    # Without the error, an unusable precompiled header would silently cost 15 s per file.
    $<$<COMPILE_LANGUAGE:CXX>:-Werror=invalid-pch>)
endif()
if(HMRNN_SANITIZE)
  string(REPLACE ";" "," _sanitize "${HMRNN_SANITIZE}")
  add_compile_options($<$<COMPILE_LANGUAGE:CXX>:-fsanitize=${_sanitize}> -fno-omit-frame-pointer)
  add_link_options(-fsanitize=${_sanitize})
endif()
