// One place where users are looked up: its cache, its few connections, and who waits for an answer.
#pragma once

#include "lookup/lookup_answer.hpp"
#include "lookup/user_cache.hpp"
#include "pgweir/cluster/board.hpp"
#include "pgweir/config/lookup_place.hpp"
#include "pgweir/metrics/report.hpp"
#include "pgweir/watch/name_lookup.hpp"

#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>

#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

namespace pgweir::lookup {

// Where one is. Databases that share it share a source.
using source_key = config::lookup_place;

// What a reload may change.
struct source_settings {
    cache_settings cache;
    std::chrono::milliseconds timeout{5'000};
    unsigned connections = 2;
    friend bool operator==(const source_settings&, const source_settings&) = default;
};

// The lookup thread only.
class user_source {
public:
    // Nothing: PostgreSQL could not be asked, and nothing is known that may be used instead.
    using done = std::function<void(std::optional<auth::found_user>)>;

    // `board`: of the key's cluster; null without one.
    user_source(boost::asio::io_context& io,
                watch::name_lookup& names,
                source_key key,
                const source_settings& settings,
                std::shared_ptr<cluster::board> board,
                std::uint64_t& serials);
    // Who waits is told that PostgreSQL could not be asked.
    ~user_source();
    user_source(const user_source&) = delete;
    user_source& operator=(const user_source&) = delete;

    void configure(const source_settings& settings);
    // Calls `then` now or later.
    void find(const std::string& user, done then);
    // A password was refused that was checked with the answer of this serial.
    void doubt(const std::string& user, std::uint64_t serial);

    [[nodiscard]] const source_key& key() const noexcept { return key_; }
    [[nodiscard]] metrics::lookup_row describe() const;

private:
    class link;
    // Where a connection may lead.
    struct place {
        std::string node;     // empty without a cluster
        std::string host;     // name, address or directory
        std::string address;  // numeric; empty: `host` has to be looked up
        std::uint16_t port = 0;
        friend bool operator==(const place&, const place&) = default;
    };
    struct question {
        std::string user;
        base::time_point deadline;
        unsigned answers = 0;  // errors that may pass
    };

    [[nodiscard]] std::vector<place> places() const;
    void ask(const std::string& user);
    void pump();
    [[nodiscard]] link* idle_link() noexcept;
    bool connect_one();
    void tick();
    void arm();
    void on_answer(const question& q, watch::batch_result& answer);
    void on_place_failed(const place& where, const lookup_failure& why);
    // The question was not answered, for no fault of its own.
    void ask_again(question q);
    void fail(const std::string& user, const lookup_failure& why);
    void fail_all(const lookup_failure& why);
    void answer(const std::string& user, const std::optional<auth::found_user>& found);
    void tell(const lookup_failure& why);
    [[nodiscard]] bool is_asked() const noexcept;

    boost::asio::io_context& io_;
    watch::name_lookup& names_;
    const source_key key_;
    const std::string label_;  // for the log
    source_settings settings_;
    const std::shared_ptr<cluster::board> board_;
    user_cache cache_;
    std::vector<std::unique_ptr<link>> links_;
    std::deque<question> queue_;
    std::unordered_map<std::string, std::vector<done>> waiting_;  // by user
    boost::asio::steady_timer timer_;
    bool is_armed_ = false;
    // Places that have failed are tried last, for a while.
    std::vector<std::pair<place, base::time_point>> avoided_;
    unsigned failures_ = 0;  // attempts in a row
    base::time_point retry_at_ = base::no_time;
    std::string last_error_;
    base::time_point told_ = base::no_time;
    std::uint64_t asked_ = 0, failed_ = 0, stale_ = 0, reused_ = 0;
    std::shared_ptr<char> alive_ = std::make_shared<char>();  // for what comes back from elsewhere
};

}  // namespace pgweir::lookup
