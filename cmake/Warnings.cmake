# hmrnn_options: what every target of this project compiles with.
add_library(hmrnn_options INTERFACE)
target_compile_options(hmrnn_options INTERFACE
  $<$<COMPILE_LANGUAGE:CXX>:-fPIC -Wall -Wextra -Wshadow -Wno-unknown-pragmas>)
# The wheel's fmt headers come before the system's; header-only, no compiled libfmt can be mixed with them.
target_compile_definitions(hmrnn_options INTERFACE FMT_HEADER_ONLY=1)
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  # -fpch-preprocess: ccache needs to see the precompiled header in the preprocessed file.
  target_compile_options(hmrnn_options INTERFACE $<$<COMPILE_LANGUAGE:CXX>:-fpch-preprocess>
    # Unnoticed, a header that does not fit would cost 15 s a file.
    $<$<COMPILE_LANGUAGE:CXX>:-Werror=invalid-pch>)
endif()
if(HMRNN_SANITIZE)
  string(REPLACE ";" "," _sanitize "${HMRNN_SANITIZE}")
  add_compile_options($<$<COMPILE_LANGUAGE:CXX>:-fsanitize=${_sanitize}> -fno-omit-frame-pointer)
  add_link_options(-fsanitize=${_sanitize})
endif()
