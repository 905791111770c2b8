// Keeping the mock seed.
#include "pgweir/app/mock_seed.hpp"

#include "pgweir/auth/random.hpp"
#include "pgweir/base/log.hpp"
#include "pgweir/net/descriptor.hpp"

#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <optional>
#include <sys/stat.h>
#include <unistd.h>

namespace pgweir::app {
namespace {

// Nothing, with errno set, when there is no whole seed that is ours alone.
std::optional<auth::digest> read_seed(const std::string& path) {
    const net::descriptor file{
        ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOFOLLOW)};
    struct stat status {};
    if (file.get() < 0 || ::fstat(file.get(), &status) != 0) {
        return std::nullopt;
    }
    if (!S_ISREG(status.st_mode) || (status.st_mode & 0077) != 0) {
        errno = EPERM;
        return std::nullopt;
    }
    auth::digest seed{};
    if (::read(file.get(), seed.data(), seed.size()) != static_cast<ssize_t>(seed.size()) ||
        status.st_size != static_cast<off_t>(seed.size())) {
        errno = EINVAL;
        return std::nullopt;
    }
    return seed;
}

// Whole or not at all. False, with errno set: it is not there, or another was there first.
bool store_seed(const std::string& path, const auth::digest& seed) {
    const auto temporary = path + "." + std::to_string(::getpid());
    bool is_written = false;
    {
        const net::descriptor file{
            ::open(temporary.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600)};
        is_written =
            file.get() >= 0 &&
            ::write(file.get(), seed.data(), seed.size()) == static_cast<ssize_t>(seed.size()) &&
            ::fsync(file.get()) == 0;
    }
    // link() and not rename(): whoever came first is followed.
    const bool is_stored = is_written && ::link(temporary.c_str(), path.c_str()) == 0;
    const int error = errno;
    ::unlink(temporary.c_str());
    errno = error;
    return is_stored;
}

}  // namespace

auth::digest load_mock_seed(const std::string& state_dir) {
    const auto path = state_dir + "/mock_seed";
    auth::digest seed{};
    auth::random_bytes(seed);
    if (const auto known = read_seed(path)) {
        return *known;
    }
    if (errno == ENOENT) {
        if (store_seed(path, seed)) {
            return seed;
        }
        if (errno == EEXIST) {
            if (const auto first = read_seed(path)) {
                return *first;
            }
        }
    }
    PGWEIR_LOG(info,
               "the salts of unknown users will change with a restart: {} cannot be kept: {} (see "
               "process.state_dir)",
               path, std::strerror(errno));
    return seed;
}

}  // namespace pgweir::app
