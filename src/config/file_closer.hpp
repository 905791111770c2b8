// A file that is closed in the end.
#pragma once

#include <unistd.h>

namespace pgweir::config {

struct file_closer {
    int fd;
    explicit file_closer(int f) : fd{f} {}
    file_closer(const file_closer&) = delete;
    file_closer& operator=(const file_closer&) = delete;
    ~file_closer() { ::close(fd); }
};

}  // namespace pgweir::config
