// The lookup thread, and the ways to it.
#include "pgweir/lookup/user_directory.hpp"

#include "lookup/user_source.hpp"
#include "pgweir/base/log.hpp"

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>

#include <algorithm>
#include <exception>
#include <map>
#include <mutex>
#include <pthread.h>
#include <signal.h>
#include <thread>
#include <utility>
#include <vector>

namespace pgweir::lookup {
namespace {

source_settings settings_of(const config::snapshot& snapshot) {
    const auto& a = snapshot.auth;
    source_settings out;
    out.cache = {a.auth_ttl, a.auth_negative_ttl, a.auth_refresh, a.auth_stale, a.auth_cache_size};
    out.timeout = a.auth_timeout;
    out.connections = a.auth_connections;
    return out;
}

}  // namespace

class user_directory::body {
public:
    explicit body(board_finder boards) : boards_{std::move(boards)} {}
    ~body() { stop(); }

    void configure(std::shared_ptr<const config::snapshot> snapshot);
    void stop();
    void find(const std::string& database, const std::string& user, done then);
    void doubt(const std::string& database, const std::string& user, std::uint64_t serial);
    void report(std::function<void(metrics::report)> then);

private:
    void run();
    void apply(const config::snapshot& snapshot);
    user_source* source_of(const std::string& database);
    void ask(const std::string& database, const std::string& user, const done& then);
    // False: there is no thread to run it.
    template <class Function>
    bool post(Function f);

    const board_finder boards_;
    boost::asio::io_context io_{1};
    boost::asio::executor_work_guard<boost::asio::io_context::executor_type> work_{
        io_.get_executor()};

    std::mutex mutex_;
    std::thread thread_;
    bool is_stopped_ = false;

    // The lookup thread's.
    watch::name_lookup names_{io_};
    std::uint64_t serials_ = 0;
    std::shared_ptr<const config::snapshot> snapshot_;
    std::vector<std::unique_ptr<user_source>> sources_;
    std::map<std::string, user_source*> by_section_;  // by database section, "*" among them
};

template <class Function>
bool user_directory::body::post(Function f) {
    const std::lock_guard lock{mutex_};
    if (!thread_.joinable() || is_stopped_) {
        return false;
    }
    boost::asio::post(io_, std::move(f));
    return true;
}

void user_directory::body::configure(std::shared_ptr<const config::snapshot> snapshot) {
    const bool is_wanted = std::ranges::any_of(snapshot->databases, [&](const auto& d) {
        return config::has_auth_query(*snapshot, d.second);
    });
    {
        const std::lock_guard lock{mutex_};
        if (is_stopped_ || (!is_wanted && !thread_.joinable())) {
            return;
        }
        if (!thread_.joinable()) {
            thread_ = std::thread{[this] { run(); }};
            ::pthread_setname_np(thread_.native_handle(), "lookup");
        }
    }
    (void)post([this, snapshot = std::move(snapshot)] {
        snapshot_ = snapshot;
        apply(*snapshot);
    });
}

void user_directory::body::stop() {
    {
        const std::lock_guard lock{mutex_};
        if (std::exchange(is_stopped_, true) || !thread_.joinable()) {
            return;
        }
    }
    boost::asio::post(io_, [this] {
        by_section_.clear();
        sources_.clear();
        work_.reset();
    });
    thread_.join();
}

void user_directory::body::run() {
    // Signals are the control thread's.
    sigset_t every;
    sigfillset(&every);
    ::pthread_sigmask(SIG_BLOCK, &every, nullptr);
    for (;;) {
        try {
            io_.run();
            return;
        } catch (const std::exception& e) {
            PGWEIR_LOG(err, "the lookup thread met an error: {}", e.what());
        }
    }
}

void user_directory::body::apply(const config::snapshot& snapshot) {
    auto before = std::exchange(sources_, {});
    by_section_.clear();
    const auto settings = settings_of(snapshot);
    for (const auto& [name, database] : snapshot.databases) {
        const auto key = config::find_lookup_place(snapshot, database);
        if (!key) {
            continue;
        }
        const auto is_it = [&](const auto& s) { return s != nullptr && s->key() == *key; };
        auto at = std::ranges::find_if(sources_, is_it);
        if (at == sources_.end()) {
            if (const auto old = std::ranges::find_if(before, is_it); old != before.end()) {
                sources_.push_back(std::move(*old));
                sources_.back()->configure(settings);
            } else {
                sources_.push_back(std::make_unique<user_source>(
                    io_, names_, *key, settings,
                    key->cluster.empty() ? nullptr : boards_(key->cluster), serials_));
            }
            at = std::prev(sources_.end());
        }
        by_section_[name] = at->get();
    }
}

user_source* user_directory::body::source_of(const std::string& database) {
    const auto* settings = snapshot_ == nullptr ? nullptr : snapshot_->find_database(database);
    const auto at = settings == nullptr ? by_section_.end() : by_section_.find(settings->name);
    return at == by_section_.end() ? nullptr : at->second;
}

void user_directory::body::find(const std::string& database, const std::string& user, done then) {
    const bool is_posted = post([this, database, user, then] { ask(database, user, then); });
    if (!is_posted) {
        then(std::nullopt);
    }
}

void user_directory::body::ask(const std::string& database,
                               const std::string& user,
                               const done& then) {
    // As long a name is nobody's: NAMEDATALEN is 64, with its end.
    constexpr std::size_t longest = 63;
    auto* source = source_of(database);
    if (source == nullptr) {
        return then(std::nullopt);
    }
    if (user.size() > longest) {
        return then(auth::found_user{});
    }
    source->find(user, [this, database, user, then, asked = source->key()](const auto& found) {
        // A reload ends the sources that it has no use for: who waited there asks the new one.
        if (const auto* now = source_of(database); now != nullptr && !(now->key() == asked)) {
            return ask(database, user, then);
        }
        then(found);
    });
}

void user_directory::body::doubt(const std::string& database,
                                 const std::string& user,
                                 std::uint64_t serial) {
    (void)post([this, database, user, serial] {
        if (auto* source = source_of(database)) {
            source->doubt(user, serial);
        }
    });
}

void user_directory::body::report(std::function<void(metrics::report)> then) {
    const bool is_posted = post([this, then] {
        metrics::report out;
        for (const auto& s : sources_) {
            out.lookups.push_back(s->describe());
        }
        then(std::move(out));
    });
    if (!is_posted) {
        then({});
    }
}

user_directory::user_directory(board_finder boards)
    : body_{std::make_unique<body>(std::move(boards))} {}
user_directory::~user_directory() = default;

void user_directory::configure(std::shared_ptr<const config::snapshot> snapshot) {
    body_->configure(std::move(snapshot));
}
void user_directory::stop() { body_->stop(); }
void user_directory::find(const std::string& database, const std::string& user, done then) {
    body_->find(database, user, std::move(then));
}
void user_directory::doubt(const std::string& database,
                           const std::string& user,
                           std::uint64_t serial) {
    body_->doubt(database, user, serial);
}
void user_directory::report(std::function<void(metrics::report)> then) {
    body_->report(std::move(then));
}

}  // namespace pgweir::lookup
