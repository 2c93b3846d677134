# katena_embed(COMPONENT SYMBOL FILE): compiles FILE (relative to the source directory) into katena_COMPONENT as
# `const unsigned char SYMBOL[]` and `const size_t SYMBOL_len`.
function(katena_embed component symbol file)
  set(source ${CMAKE_BINARY_DIR}/embedded/${symbol}.c)
  add_custom_command(
    OUTPUT ${source}
    COMMAND ${CMAKE_COMMAND} -DINPUT=${CMAKE_SOURCE_DIR}/${file} -DOUTPUT=${source} -DSYMBOL=${symbol}
      -P ${CMAKE_SOURCE_DIR}/cmake/embed_file.cmake
    DEPENDS ${CMAKE_SOURCE_DIR}/${file} ${CMAKE_SOURCE_DIR}/cmake/embed_file.cmake
    COMMENT "Embedding ${file}")
  target_sources(katena_${component} PRIVATE ${source})
endfunction()
