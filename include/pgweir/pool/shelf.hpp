// What all workers share of one pool: its limits, its permits and who waits where.
#pragma once

#include "pgweir/base/clock.hpp"
#include "pgweir/config/snapshot.hpp"
#include "pgweir/pool/welcome_book.hpp"

#include <array>
#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

namespace pgweir::pool {

inline constexpr unsigned max_workers = 64;

// A pool as clients see it. `role` is the user the client logged in as, or empty where the database
// forces one user for all. `node` is empty unless the database has a cluster, of which each node
// has a pool.
struct shelf_key {
    std::string database;
    std::string role;
    std::string node{};
    auto operator<=>(const shelf_key&) const = default;
};

// What clients of one kind share on a worker; see gate. `role` as above. `target` is `primary`
// where the database has no cluster.
struct gate_key {
    std::string database;
    std::string role;
    config::access_target target = config::access_target::primary;
    auto operator<=>(const gate_key&) const = default;
};

// Client and server connections of one database or one user, over all pools and workers. The
// limits are 0 for none. A database's lives as long as a shelf or a client slot of it, a user's to
// the end of the process: there are no more than roles in the configuration and in PostgreSQL.
struct account {
    std::atomic<unsigned> clients = 0;
    std::atomic<unsigned> max_clients = 0;
    unsigned servers = 0;      // guarded by the directory's mutex
    unsigned max_servers = 0;  // guarded by the directory's mutex
};

class directory;
class shelf;
using shelf_ptr = std::shared_ptr<shelf>;

// The right to one server connection; counted from before the connect until the backend is gone.
// Move-only; gives itself back. Any thread.
class permit {
public:
    permit() = default;
    permit(permit&& o) noexcept
        : shelf_{std::exchange(o.shelf_, nullptr)},
          user_{o.user_},
          leaving_{std::exchange(o.leaving_, false)} {}
    permit& operator=(permit&& o) noexcept {
        give_back();
        shelf_ = std::exchange(o.shelf_, nullptr);
        user_ = o.user_;
        leaving_ = std::exchange(o.leaving_, false);
        return *this;
    }
    ~permit() { give_back(); }
    explicit operator bool() const noexcept { return shelf_ != nullptr; }

    // Its connection is closing: it still counts, but will be back soon.
    void leave() noexcept;
    // The same, if more than `floor` would stay otherwise. Workers that shrink a pool at once do
    // not shrink it twice.
    [[nodiscard]] bool leave_above(unsigned floor) noexcept;

private:
    friend class directory;
    permit(shelf& s, account& user) noexcept : shelf_{&s}, user_{&user} {}
    void give_back() noexcept;

    shelf* shelf_ = nullptr;
    account* user_ = nullptr;  // whom it was counted for: a reload may change the shelf's
    bool leaving_ = false;
};

// A slot in the client limits of a database and a user; move-only, gives itself back. Any thread.
class client_slot {
public:
    enum class refusal : std::uint8_t { none, database_full, user_full };

    client_slot() = default;
    client_slot(client_slot&& o) noexcept
        : database_{std::move(o.database_)}, user_{std::exchange(o.user_, nullptr)} {}
    client_slot& operator=(client_slot&& o) noexcept {
        reset();
        database_ = std::move(o.database_);
        user_ = std::exchange(o.user_, nullptr);
        return *this;
    }
    ~client_slot() { reset(); }

    // Keeps the database's account alive; the user's must outlive the slot. REQUIRES: this slot is
    // empty.
    refusal take(std::shared_ptr<account> database, account& user) noexcept;

private:
    void reset() noexcept;

    std::shared_ptr<account> database_;
    account* user_ = nullptr;
};

// Lives until directory::sweep() finds it unused: with "*" as a database, clients make up as many
// keys as they like. The board is lock-free and any thread's; the rest is guarded by the
// directory's mutex.
class shelf : public std::enable_shared_from_this<shelf> {
public:
    shelf(directory& d, shelf_key k, std::shared_ptr<account> db, account& user);
    shelf(const shelf&) = delete;
    shelf& operator=(const shelf&) = delete;

    const shelf_key key;

    // Where clients wait and servers idle. A worker writes its own entry and reads the others';
    // both sides write before they read (sequentially consistent), so that a waiter and an idle
    // server cannot miss each other.
    struct alignas(64) entry {
        std::atomic<std::int64_t> waiting_since = 0;  // steady clock of the oldest waiter; 0: none
        std::atomic<std::uint32_t> idle = 0;
    };
    [[nodiscard]] entry& board(unsigned worker) noexcept { return board_[worker]; }
    // Workers with waiters, a bit each.
    std::atomic<std::uint64_t> waiting = 0;

    // Logins under way on all workers, and servers that are logged in and not closing.
    std::atomic<unsigned> connecting = 0;
    std::atomic<unsigned> live = 0;
    // Rounds of logins that failed, and when the next may begin (steady clock).
    std::atomic<unsigned> failures = 0;
    std::atomic<std::int64_t> retry_at = 0;
    // The server's last refusal to let us in, for those who wait in vain. Guarded by the mutex.
    [[nodiscard]] std::string last_error() const;
    void set_last_error(std::string text);
    // With a lock of its own.
    welcome_book welcomes;

    // Permits taken, over all workers.
    [[nodiscard]] unsigned size() const;
    // Of these, those whose connection is not closing.
    [[nodiscard]] unsigned staying() const;
    // Would directory::take() refuse a permit since there are enough? Without the lock, for a
    // client that begins to wait. One that comes back meanwhile is offered to who was seen to wait
    // before.
    [[nodiscard]] bool is_full(bool use_reserve) const noexcept {
        return size_.load() >= limit_.load() + (use_reserve ? reserve_.load() : 0);
    }

    directory& home() noexcept { return directory_; }
    [[nodiscard]] const std::shared_ptr<account>& database_account() const noexcept {
        return database_;
    }

private:
    friend class directory;
    friend class permit;

    directory& directory_;
    const std::shared_ptr<account> database_;
    account* user_;
    std::array<entry, max_workers> board_;
    std::atomic<unsigned> size_ = 0;  // these three are written under the mutex only
    std::atomic<unsigned> limit_ = 0;
    std::atomic<unsigned> reserve_ = 0;
    unsigned leaving_ = 0;
    unsigned min_size_ = 0;
    std::string last_error_;
};

// All shelves and accounts, and the one place where permits are counted. Any thread; nothing here
// is on the path of a query that finds an idle server.
class directory {
public:
    // `freed(shelf)` is called, outside the lock and on any thread, after a permit came back that
    // this shelf, whose client has waited longest, may use: one of its workers should try again.
    // Must be set before the first permit is taken.
    std::function<void(shelf&)> freed;

    // Finds or makes. Limits are those of `pool`, `database` and, for server connections, of
    // `user`, under whom they log in at the server (null: none); replaced at every call.
    shelf_ptr open(const shelf_key& key,
                   const config::pool_settings& pool,
                   const config::database_settings& database,
                   const config::user_settings* user);
    // Ends the shelves that nobody holds and that have no permit out.
    void sweep() noexcept;
    account& user_account(const std::string& name);

    // Replaces the limit of clients that log in as `name`.
    void limit_clients(const std::string& name, unsigned most);

    enum class refusal : std::uint8_t { none, pool_full, database_full, user_full, busy };
    struct grant {
        permit right;
        refusal why = refusal::none;
    };
    // A permit, if the pool (with its reserve when `use_reserve`), the database and the user allow;
    // `busy` when `max_connecting` logins of this pool are under way. Counts the login in
    // shelf::connecting, where the caller has to take it off again.
    [[nodiscard]] grant take(shelf& s, bool use_reserve, unsigned max_connecting);

    // Another pool of the same database (or user) that holds idle servers above its minimum while
    // `s` is refused for the database's (or user's) limit; null: none. The one with the most idle
    // servers pays.
    [[nodiscard]] shelf_ptr find_victim(shelf& s, refusal why);

    // How many servers a pool keeps; see find_victim().
    void set_minimum(shelf& s, unsigned servers);

    // Connections of one database now, over all its pools.
    struct use {
        unsigned servers = 0;
        unsigned clients = 0;
    };
    [[nodiscard]] use use_of(std::string_view database) const;

private:
    friend class permit;
    friend class shelf;
    void give_back(shelf& s, account& user, bool leaving) noexcept;
    [[nodiscard]] bool has_room_for(const shelf& s) const noexcept;

    mutable std::mutex mutex_;
    std::map<shelf_key, shelf_ptr> shelves_;
    std::map<std::string, std::weak_ptr<account>, std::less<>> databases_;
    std::map<std::string, std::unique_ptr<account>, std::less<>> users_;
};

}  // namespace pgweir::pool
