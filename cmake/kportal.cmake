# What every target of the project shares: warnings, sanitizers, and the two ways a target is made.

add_library(kportal_options INTERFACE)
target_include_directories(kportal_options INTERFACE "${PROJECT_SOURCE_DIR}")
target_compile_options(kportal_options INTERFACE
  -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wold-style-cast
  -Woverloaded-virtual -Wimplicit-fallthrough)
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  # False in Asio's coroutines: the frame's own operator new and delete.
  target_compile_options(kportal_options INTERFACE -Wno-mismatched-new-delete)
endif()
if(KPORTAL_SANITIZE)
  target_compile_options(kportal_options INTERFACE
    -fsanitize=${KPORTAL_SANITIZE} -fno-sanitize-recover=all -fno-omit-frame-pointer
    # It asks the system for a pipe, and some tests run out of descriptors on purpose.
    -fno-sanitize=vptr)
  target_link_options(kportal_options INTERFACE -fsanitize=${KPORTAL_SANITIZE})
endif()
# What nothing uses is left out of a program, and what belongs together lies together: fewer pages
# of it are touched.
if(CMAKE_BUILD_TYPE STREQUAL "Release")
  target_compile_options(kportal_options INTERFACE -ffunction-sections -fdata-sections)
  if(CMAKE_SYSTEM_NAME STREQUAL "Linux")
    target_link_options(kportal_options INTERFACE -Wl,--gc-sections,--sort-section=name)
  endif()
endif()
if(KPORTAL_FUZZ)
  # Coverage for libFuzzer; what indexes past an end stops there.
  target_compile_options(kportal_options INTERFACE -fsanitize=fuzzer-no-link)
  target_compile_definitions(kportal_options INTERFACE _GLIBCXX_ASSERTIONS)
endif()

# kportal_library(FOLDER SOURCES a.cc ... [FAST a.cc ...] DEPS kportal_base ...): the static library
# kportal_FOLDER. FAST: those of the sources that users' bytes pass. The others a release has as
# small as they can be: the program's code is a quarter of the memory that a forward costs.
function(kportal_library folder)
  cmake_parse_arguments(arg "" "" "SOURCES;FAST;DEPS" ${ARGN})
  add_library(kportal_${folder} STATIC ${arg_SOURCES})
  target_link_libraries(kportal_${folder} PUBLIC kportal_options ${arg_DEPS})
  target_compile_options(kportal_${folder} PRIVATE $<$<CONFIG:Release>:-Os>)
  set_source_files_properties(${arg_FAST} PROPERTIES COMPILE_OPTIONS $<$<CONFIG:Release>:-O2>)
endfunction()

# kportal_test(NAME [LABEL unit] [SERIAL] SOURCES a_test.cc ... DEPS kportal_net ...): one test program.
# unit: pure or in-process without the lab, fast. lab: against the lab. process: runs the binary.
# SERIAL: measures time, so no other test runs beside it.
function(kportal_test name)
  cmake_parse_arguments(arg "SERIAL" "LABEL" "SOURCES;DEPS" ${ARGN})
  if(NOT arg_LABEL)
    set(arg_LABEL unit)
  endif()
  add_executable(${name} ${arg_SOURCES})
  target_link_libraries(${name} PRIVATE ${arg_DEPS} GTest::gmock GTest::gtest_main)
  gtest_discover_tests(${name} DISCOVERY_TIMEOUT 60 PROPERTIES LABELS ${arg_LABEL} TIMEOUT 120
                                                        RUN_SERIAL ${arg_SERIAL})
endfunction()
