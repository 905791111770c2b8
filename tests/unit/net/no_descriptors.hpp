// What happens when descriptors run out.
#pragma once

#include "pgweir/net/descriptor.hpp"

#include <sys/resource.h>
#include <unistd.h>

namespace pgweir::net {

// No descriptor can be opened while it lives.
class no_descriptors {
public:
    no_descriptors() {
        const descriptor next{::dup(STDIN_FILENO)};
        ::getrlimit(RLIMIT_NOFILE, &before_);
        auto limit = before_;
        limit.rlim_cur = static_cast<rlim_t>(next.get());
        ::setrlimit(RLIMIT_NOFILE, &limit);
    }
    no_descriptors(const no_descriptors&) = delete;
    no_descriptors& operator=(const no_descriptors&) = delete;
    ~no_descriptors() { ::setrlimit(RLIMIT_NOFILE, &before_); }

private:
    rlimit before_{};
};

}  // namespace pgweir::net
