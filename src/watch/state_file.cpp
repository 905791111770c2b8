// Reading and replacing the state file.
#include "watch/state_file.hpp"

#include <cerrno>
#include <fcntl.h>
#include <stdexcept>
#include <string_view>
#include <sys/stat.h>
#include <system_error>
#include <unistd.h>
#include <utility>

namespace pgweir::watch {
namespace {

constexpr std::size_t largest_file = std::size_t{1} << 20;

class descriptor {
public:
    explicit descriptor(int fd) noexcept : fd_{fd} {}
    ~descriptor() {
        if (fd_ >= 0) {
            ::close(fd_);
        }
    }
    descriptor(const descriptor&) = delete;
    descriptor& operator=(const descriptor&) = delete;
    [[nodiscard]] int get() const noexcept { return fd_; }

private:
    int fd_;
};

std::string error_text() { return std::generic_category().message(errno); }

std::string folder_of(const std::string& path) {
    const auto slash = path.rfind('/');
    return slash == std::string::npos ? "." : slash == 0 ? "/" : path.substr(0, slash);
}

[[noreturn]] void fail(const std::string& path, const std::string& why, const std::string& advice) {
    throw std::runtime_error("state file " + path + ": " + why + "; " + advice);
}

bool write_all(int fd, std::string_view text) {
    while (!text.empty()) {
        const auto n = ::write(fd, text.data(), text.size());
        if (n < 0 && errno != EINTR) {
            return false;
        }
        text.remove_prefix(n < 0 ? 0 : static_cast<std::size_t>(n));
    }
    return true;
}

// The file's text; nothing with errno set.
bool read_all(int fd, std::string& out) {
    char chunk[4096];
    for (;;) {
        const auto n = ::read(fd, chunk, sizeof chunk);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0) {
            return false;
        }
        if (n == 0) {
            return true;
        }
        out.append(chunk, static_cast<std::size_t>(n));
        if (out.size() > largest_file) {
            errno = EFBIG;
            return false;
        }
    }
}

}  // namespace

cluster::cluster_state load_state(const std::string& path) {
    // Found now, while somebody looks, and not at the first failover.
    const auto folder = folder_of(path);
    if (::access(folder.c_str(), W_OK | X_OK) != 0) {
        fail(path, "folder " + folder + ": " + error_text(),
             "make it, writable by pgweir, or set process.state_dir");
    }
    const descriptor file{::open(path.c_str(), O_RDONLY | O_CLOEXEC)};
    if (file.get() < 0) {
        if (errno == ENOENT) {
            return {};
        }
        fail(path, error_text(), "let pgweir read it");
    }
    std::string text;
    if (!read_all(file.get(), text)) {
        fail(path, error_text(), "let pgweir read it");
    }
    auto parsed = cluster::parse_state(text);
    if (const auto* error = std::get_if<cluster::state_error>(&parsed)) {
        fail(path, "line " + std::to_string(error->line) + ": " + error->message,
             "see which node is the primary and remove the file, so that pgweir learns the cluster "
             "anew");
    }
    return std::get<cluster::cluster_state>(std::move(parsed));
}

std::string store_state(const std::string& path, const cluster::cluster_state& state) {
    const auto temporary = path + ".new";
    const auto failure = [&](const char* what) {
        const auto why = error_text();
        ::unlink(temporary.c_str());
        return std::string{what} + " " + path + ": " + why;
    };
    {
        const descriptor file{
            ::open(temporary.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600)};
        if (file.get() < 0 || !write_all(file.get(), cluster::to_text(state)) ||
            ::fsync(file.get()) != 0) {
            return failure("could not write");
        }
    }
    if (::rename(temporary.c_str(), path.c_str()) != 0) {
        return failure("could not replace");
    }
    const descriptor folder{::open(folder_of(path).c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)};
    if (folder.get() < 0 || ::fsync(folder.get()) != 0) {
        return failure("could not sync the folder of");
    }
    return {};
}

}  // namespace pgweir::watch
