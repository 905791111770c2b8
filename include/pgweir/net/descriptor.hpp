// A file descriptor that is closed by whoever holds it last.
#pragma once

#include <cerrno>
#include <fcntl.h>
#include <system_error>
#include <unistd.h>
#include <utility>

namespace pgweir::net {

// Move-only; -1 when empty.
class descriptor {
public:
    descriptor() = default;
    explicit descriptor(int fd) noexcept : fd_{fd} {}
    descriptor(descriptor&& o) noexcept : fd_{o.release()} {}
    descriptor& operator=(descriptor&& o) noexcept {
        if (this != &o) {
            reset();
            fd_ = o.release();
        }
        return *this;
    }
    ~descriptor() { reset(); }

    [[nodiscard]] int get() const noexcept { return fd_; }
    [[nodiscard]] int release() noexcept { return std::exchange(fd_, -1); }
    void reset() noexcept {
        if (fd_ >= 0) {
            ::close(release());
        }
    }

    // Another for the same file, close-on-exec. Throws std::system_error when there are too many.
    [[nodiscard]] descriptor duplicate() const {
        descriptor other{::fcntl(fd_, F_DUPFD_CLOEXEC, 0)};
        if (other.get() < 0) {
            throw std::system_error{errno, std::system_category(), "duplicating a descriptor"};
        }
        return other;
    }

private:
    int fd_ = -1;
};

}  // namespace pgweir::net
