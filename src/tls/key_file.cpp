// The check of a key file's owner and mode.
#include "tls/key_file.hpp"

#include <cerrno>
#include <cstring>
#include <sys/stat.h>
#include <unistd.h>

namespace pgweir::tls {

std::optional<key_file_fault> check_key_file(const std::string& path) {
    const auto named = "private key file \"" + path + '"';
    struct stat file {};
    if (::stat(path.c_str(), &file) != 0) {
        return key_file_fault{"could not access " + named + ": " + std::strerror(errno), {}};
    }
    if (!S_ISREG(file.st_mode)) {
        return key_file_fault{named + " is not a regular file", {}};
    }
    const auto me = ::geteuid();
    if (file.st_uid != me && file.st_uid != 0) {
        return key_file_fault{named + " must be owned by the database user or root", {}};
    }
    const mode_t forbidden = file.st_uid == 0 ? S_IWGRP | S_IXGRP | S_IRWXO : S_IRWXG | S_IRWXO;
    if ((file.st_mode & forbidden) != 0) {
        return key_file_fault{
            named + " has group or world access",
            "File must have permissions u=rw (0600) or less if owned by the database user, or "
            "permissions u=rw,g=r (0640) or less if owned by root."};
    }
    return std::nullopt;
}

}  // namespace pgweir::tls
