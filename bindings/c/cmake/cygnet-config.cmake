# cygnet::cygnet is the static library, cygnet::shared the shared one.
get_filename_component(_cygnet "${CMAKE_CURRENT_LIST_DIR}/../../.." ABSOLUTE)
include(CMakeFindDependencyMacro)
find_dependency(Threads)
if(NOT TARGET cygnet::cygnet)
  add_library(cygnet::cygnet STATIC IMPORTED)
  set_target_properties(cygnet::cygnet PROPERTIES
    IMPORTED_LOCATION "${_cygnet}/lib/libcygnet.a"
    INTERFACE_INCLUDE_DIRECTORIES "${_cygnet}/include"
    INTERFACE_LINK_LIBRARIES "Threads::Threads;${CMAKE_DL_LIBS};m")
  if(EXISTS "${_cygnet}/lib/libcygnet.so")
    add_library(cygnet::shared SHARED IMPORTED)
    set_target_properties(cygnet::shared PROPERTIES
      IMPORTED_LOCATION "${_cygnet}/lib/libcygnet.so"
      INTERFACE_INCLUDE_DIRECTORIES "${_cygnet}/include")
  endif()
endif()
