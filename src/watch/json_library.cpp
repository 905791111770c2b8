// The bodies of Boost.JSON, which Debian ships as headers: compiled here once.
#include <boost/json/src.hpp>
