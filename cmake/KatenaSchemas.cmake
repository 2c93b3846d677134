# katena_compile_schemas(NAME): adds the tables made from api/ to the component NAME.
find_package(Python3 REQUIRED COMPONENTS Interpreter)

function(katena_compile_schemas name)
  file(GLOB_RECURSE facts CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/api/*.json)
  set(script ${CMAKE_SOURCE_DIR}/cmake/compile_schemas.py)
  set(tables ${CMAKE_BINARY_DIR}/generated/schema_tables.c)
  file(MAKE_DIRECTORY ${CMAKE_BINARY_DIR}/generated)
  add_custom_command(OUTPUT ${tables}
    COMMAND ${Python3_EXECUTABLE} ${script} ${CMAKE_SOURCE_DIR}/api ${tables}
    DEPENDS ${script} ${facts}
    COMMENT "Compiling api/ into tables")
  target_sources(katena_${name} PRIVATE ${tables})
endfunction()

# docs/api-coverage.md must say what api/ holds.
add_test(NAME api_coverage COMMAND ${Python3_EXECUTABLE} ${CMAKE_SOURCE_DIR}/hack/gen-coverage --check)
set_tests_properties(api_coverage PROPERTIES LABELS unit)
