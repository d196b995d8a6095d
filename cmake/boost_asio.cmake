# Asio compiled once: its implementation is one translation unit instead of a part of each.
add_library(boost_asio STATIC "${PROJECT_SOURCE_DIR}/cmake/boost_asio.cc")
target_compile_definitions(boost_asio PUBLIC
  BOOST_ASIO_SEPARATE_COMPILATION BOOST_ASIO_NO_DEPRECATED BOOST_ERROR_CODE_HEADER_ONLY)
target_link_libraries(boost_asio PUBLIC Boost::headers Threads::Threads)
target_compile_options(boost_asio PRIVATE $<$<CONFIG:Release>:-ffunction-sections -fdata-sections>)
if(KPORTAL_SANITIZE)
  target_compile_options(boost_asio PUBLIC -fsanitize=${KPORTAL_SANITIZE} -fno-omit-frame-pointer)
endif()
