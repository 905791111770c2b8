// Credentials of a peer, and names of users.
#include "pgweir/net/local_user.hpp"

#include <cerrno>
#include <cstring>
#include <pwd.h>
#include <sys/socket.h>
#include <vector>

namespace pgweir::net {

std::optional<uid_t> peer_user(int fd) noexcept {
    // Of another family the kernel answers with the user -1 and no error.
    int domain = 0;
    socklen_t size = sizeof domain;
    if (::getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &size) != 0 || domain != AF_UNIX) {
        return std::nullopt;
    }
    ucred who{};
    size = sizeof who;
    if (::getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &size) != 0 || size != sizeof who ||
        who.uid == static_cast<uid_t>(-1)) {
        return std::nullopt;
    }
    return who.uid;
}

std::string user_name(uid_t user, std::string& error) {
    constexpr std::size_t enough = 1 << 20;
    std::vector<char> text(1024);
    passwd entry{};
    passwd* found = nullptr;
    int failed = 0;
    while ((failed = ::getpwuid_r(user, &entry, text.data(), text.size(), &found)) == ERANGE &&
           text.size() < enough) {
        text.resize(text.size() * 2);
    }
    if (failed != 0) {
        error = "could not look up local user ID " + std::to_string(user) + ": " +
                std::strerror(failed);
        return {};
    }
    if (found == nullptr) {
        error = "local user with ID " + std::to_string(user) + " does not exist";
        return {};
    }
    return found->pw_name;
}

}  // namespace pgweir::net
