// The lookup thread: finds users at PostgreSQL whom the configuration does not name (auth_query).
#pragma once

#include "pgweir/auth/found_user.hpp"
#include "pgweir/cluster/board.hpp"
#include "pgweir/config/snapshot.hpp"
#include "pgweir/metrics/report.hpp"

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>

namespace pgweir::lookup {

// Logins wait for it, and it waits for PostgreSQL: so it shares its thread with nobody. Its
// connections are its own, never lent to a client and outside of every pool's size. The thread does
// not exist while no database looks users up.
class user_directory {
public:
    // The board of a cluster by its name; null: there is none. Any thread.
    using board_finder = std::function<std::shared_ptr<cluster::board>(const std::string&)>;
    // Nothing: PostgreSQL could not be asked, and nothing is known that may be used instead.
    using done = std::function<void(std::optional<auth::found_user>)>;

    explicit user_directory(board_finder boards);
    ~user_directory();  // stops
    user_directory(const user_directory&) = delete;
    user_directory& operator=(const user_directory&) = delete;

    // The control thread. What is known stays, unless the place where it was learned has changed.
    void configure(std::shared_ptr<const config::snapshot> snapshot);
    // The control thread. Whoever waits is told that nobody could be asked.
    void stop();

    // Any thread. `database`: as the client calls it. `then` is called on the lookup thread, or at
    // once on the caller's where nothing is looked up for this database.
    void find(const std::string& database, const std::string& user, done then);
    // Any thread. A password of this user was refused, by us or by PostgreSQL, that belongs to the
    // answer of this serial: it may have been changed since.
    void doubt(const std::string& database, const std::string& user, std::uint64_t serial);
    // Any thread. Fills lookups; `then` as above.
    void report(std::function<void(metrics::report)> then);

private:
    class body;
    std::unique_ptr<body> body_;
};

}  // namespace pgweir::lookup
