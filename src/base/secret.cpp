// Wiping of secrets.
#include "pgweir/base/secret.hpp"

#include <cstring>

namespace pgweir::base {

void wipe(void* data, std::size_t size) noexcept {
    if (size != 0) {
        explicit_bzero(data, size);
    }
}

}  // namespace pgweir::base
