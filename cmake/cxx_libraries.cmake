# The libraries that are written in C++: kportal_fmt, kportal_spdlog, kportal_yaml_cpp, and
# kportal_static_cxx for the program. Shared ones, or with KPORTAL_STATIC_CXX parts of the program:
# then the C++ runtime is needed by it alone and becomes a part of it, too. What is used of them is
# a tenth of what they would map.
add_library(kportal_spdlog INTERFACE)
add_library(kportal_yaml_cpp INTERFACE)
add_library(kportal_static_cxx INTERFACE)
if(KPORTAL_STATIC_CXX)
  find_library(KPORTAL_LIBYAML_CPP_A libyaml-cpp.a REQUIRED)
  add_library(kportal_fmt STATIC "${PROJECT_SOURCE_DIR}/cmake/fmt.cc")
  target_compile_options(kportal_fmt PRIVATE -Os -ffunction-sections -fdata-sections)
  target_include_directories(kportal_fmt SYSTEM PUBLIC
    $<TARGET_PROPERTY:fmt::fmt,INTERFACE_INCLUDE_DIRECTORIES>)
  target_compile_definitions(kportal_spdlog INTERFACE SPDLOG_FMT_EXTERNAL)
  target_include_directories(kportal_spdlog SYSTEM INTERFACE
    $<TARGET_PROPERTY:spdlog::spdlog_header_only,INTERFACE_INCLUDE_DIRECTORIES>)
  target_link_libraries(kportal_yaml_cpp INTERFACE "${KPORTAL_LIBYAML_CPP_A}")
  target_link_options(kportal_static_cxx INTERFACE -static-libstdc++ -static-libgcc)
else()
  add_library(kportal_fmt ALIAS fmt::fmt)
  target_link_libraries(kportal_spdlog INTERFACE spdlog::spdlog)
  target_link_libraries(kportal_yaml_cpp INTERFACE yaml-cpp)
endif()
