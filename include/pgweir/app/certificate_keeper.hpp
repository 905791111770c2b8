// Keeps the certificates in force those that are in their files.
#pragma once

#include "pgweir/config/snapshot.hpp"
#include "pgweir/pool/tls_store.hpp"

#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>

#include <chrono>
#include <memory>
#include <string>
#include <vector>

namespace pgweir::app {

// Control thread. Looks at the files about once a second; what cannot be loaded changes nothing and
// is tried again, since a certificate and its key are seldom replaced at once.
class certificate_keeper {
public:
    certificate_keeper(boost::asio::io_context& control, pool::tls_store& store)
        : store_{store}, timer_{control} {}

    using contexts_ptr = std::shared_ptr<const pool::tls_contexts>;
    // From now on new connections use `contexts`, which were loaded for `snapshot`.
    void use(std::shared_ptr<const config::snapshot> snapshot, contexts_ptr contexts);

private:
    void watch();
    void look();
    void warn_of_expiry();

    pool::tls_store& store_;
    boost::asio::steady_timer timer_;
    std::shared_ptr<const config::snapshot> snapshot_;
    std::vector<std::string> problems_;  // of the last attempt; told once
    std::chrono::steady_clock::time_point warn_at_{};
    bool watches_ = false;
};

}  // namespace pgweir::app
