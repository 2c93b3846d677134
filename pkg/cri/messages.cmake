# What pkg/cri needs built first: the messages from cri.proto, and the program of the sandbox image.
find_program(PROTOC_C protoc-c REQUIRED)
set(cri_generated ${CMAKE_BINARY_DIR}/generated/cri)
file(MAKE_DIRECTORY ${cri_generated})
add_custom_command(
  OUTPUT ${cri_generated}/cri.pb-c.c ${cri_generated}/cri.pb-c.h
  COMMAND ${PROTOC_C} --c_out=${cri_generated} -I${CMAKE_SOURCE_DIR}/pkg/cri cri.proto
  DEPENDS ${CMAKE_SOURCE_DIR}/pkg/cri/cri.proto)
add_custom_command(
  OUTPUT ${cri_generated}/pause
  COMMAND ${CMAKE_C_COMPILER} -Os -static -nostdlib -ffreestanding -fno-stack-protector -s -Wl,--build-id=none
          -o ${cri_generated}/pause ${CMAKE_SOURCE_DIR}/pkg/cri/pause/pause.c
  DEPENDS ${CMAKE_SOURCE_DIR}/pkg/cri/pause/pause.c)
add_custom_target(cri_messages DEPENDS ${cri_generated}/cri.pb-c.c ${cri_generated}/cri.pb-c.h ${cri_generated}/pause)
add_dependencies(katena_cri cri_messages)
target_sources(katena_cri PRIVATE ${cri_generated}/cri.pb-c.c)
target_include_directories(katena_cri PUBLIC ${CMAKE_BINARY_DIR}/generated)
set_source_files_properties(${CMAKE_SOURCE_DIR}/pkg/cri/image.c PROPERTIES
  COMPILE_DEFINITIONS "KATENA_PAUSE_PATH=\"${cri_generated}/pause\""
  OBJECT_DEPENDS ${cri_generated}/pause)
