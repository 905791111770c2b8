// A file descriptor that is closed by whoever holds it last.
#pragma once

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

private:
    int fd_ = -1;
};

}  // namespace pgweir::net
