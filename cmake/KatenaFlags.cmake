# Warnings are errors; the sanitizers, coverage and fuzzing are chosen by preset.
add_compile_options(
  -Wall -Wextra -Werror -Wshadow -Wstrict-prototypes -Wmissing-prototypes
  -Wwrite-strings -Wpointer-arith -Wformat=2 -Wundef -Wvla
  -fno-common -fstack-protector-strong)
add_compile_definitions(_GNU_SOURCE KATENA_VERSION="${PROJECT_VERSION}")
include_directories(${CMAKE_SOURCE_DIR}/pkg)

if(KATENA_SANITIZE)
  add_compile_options(-fsanitize=${KATENA_SANITIZE} -fno-omit-frame-pointer)
  add_link_options(-fsanitize=${KATENA_SANITIZE})
  if(KATENA_SANITIZE MATCHES "undefined")
    add_compile_options(-fno-sanitize-recover=undefined)
  endif()
endif()

if(KATENA_COVERAGE)
  add_compile_options(--coverage)
  add_link_options(--coverage)
endif()

if(KATENA_FUZZ)
  add_compile_options(-fsanitize=fuzzer-no-link)
endif()

# Assertions stay in every build: a bug ends the process rather than damaging the chain.
foreach(kind RELEASE RELWITHDEBINFO MINSIZEREL)
  string(REPLACE "-DNDEBUG" "" CMAKE_C_FLAGS_${kind} "${CMAKE_C_FLAGS_${kind}}")
endforeach()
