# hmrnn_embed(TARGET NAME FILE…): compiles text files into a target as constants, so that a program needs no files at
# run time. To use FILE NAME.EXT, declare `extern const std::string_view embedded_NAME_EXT;`. As a script (cmake -P) it
# writes the source for one file: -D FROM=FILE -D TO=FILE.
if(CMAKE_SCRIPT_MODE_FILE)
  file(READ ${FROM} _text)
  get_filename_component(_name ${FROM} NAME)
  string(MAKE_C_IDENTIFIER ${_name} _name)
  # In pieces, since compilers need only accept literals up to 64 KiB.
  set(_literals)
  string(LENGTH "${_text}" _length)
  set(_at 0)
  while(_at LESS _length)
    string(SUBSTRING "${_text}" ${_at} 8000 _piece)
    string(APPEND _literals "R\"hmrnn(${_piece})hmrnn\"\n")
    math(EXPR _at "${_at} + 8000")
  endwhile()
  file(WRITE ${TO} "#include <string_view>\nextern const std::string_view embedded_${_name};\n"
                   "const std::string_view embedded_${_name} =\n${_literals};\n")
  return()
endif()

set(HMRNN_EMBED_SCRIPT ${CMAKE_CURRENT_LIST_FILE})
function(hmrnn_embed target)
  foreach(_file IN LISTS ARGN)
    get_filename_component(_name ${_file} NAME)
    set(_source ${CMAKE_CURRENT_BINARY_DIR}/embedded/${_name}.cpp)
    add_custom_command(OUTPUT ${_source}
      COMMAND ${CMAKE_COMMAND} -D FROM=${_file} -D TO=${_source} -P ${HMRNN_EMBED_SCRIPT}
      DEPENDS ${_file} ${HMRNN_EMBED_SCRIPT} VERBATIM)
    set_source_files_properties(${_source} PROPERTIES SKIP_PRECOMPILE_HEADERS ON)
    target_sources(${target} PRIVATE ${_source})
  endforeach()
endfunction()
