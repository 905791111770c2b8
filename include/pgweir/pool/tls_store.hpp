// The TLS contexts in force on both legs, and the files they were loaded from.
#pragma once

#include "pgweir/config/snapshot.hpp"
#include "pgweir/metrics/report.hpp"
#include "pgweir/tls/context.hpp"

#include <ctime>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <variant>
#include <vector>

namespace pgweir::pool {

// All contexts that one configuration needs. Immutable.
struct tls_contexts {
    tls::context_ptr clients;  // null: clients are offered no TLS
    std::map<config::server_tls_settings, tls::context_ptr> servers;
    std::vector<metrics::certificate_row> certificates;  // our own ones

    // A file as it was just before it was read.
    struct file {
        std::string path;
        timespec modified{};
        std::uint64_t inode = 0;
        std::uint64_t size = 0;
    };
    std::vector<file> files;

    // Reads all files; blocks. All or nothing: either every context there is, or each problem as a
    // line that names the key and the file.
    static std::variant<std::shared_ptr<const tls_contexts>, std::vector<std::string>> load(
        const config::snapshot& snapshot);
    // Has any of the files changed since?
    [[nodiscard]] bool are_outdated() const;
};

// What connections that begin now use. Any thread.
class tls_store {
public:
    void put(std::shared_ptr<const tls_contexts> contexts);
    [[nodiscard]] std::shared_ptr<const tls_contexts> all() const;
    // Null: clients are offered no TLS.
    [[nodiscard]] tls::context_ptr for_clients() const;
    // Null where sslmode is "disable", and while a reload is on its way to the worker that asks.
    [[nodiscard]] tls::context_ptr for_servers(const config::server_tls_settings& settings) const;

private:
    mutable std::mutex mutex_;
    std::shared_ptr<const tls_contexts> contexts_ = std::make_shared<const tls_contexts>();
};

}  // namespace pgweir::pool
