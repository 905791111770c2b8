// Permits, limits and the board of a pool.
#include "pgweir/pool/shelf.hpp"

#include <algorithm>

namespace pgweir::pool {
namespace {

bool has_room(unsigned used, unsigned limit) noexcept { return limit == 0 || used < limit; }

bool take_client(account& a) noexcept {
    const auto limit = a.max_clients.load(std::memory_order_relaxed);
    if (a.clients.fetch_add(1) < limit || limit == 0) {
        return true;
    }
    a.clients.fetch_sub(1);
    return false;
}

}  // namespace

void permit::give_back() noexcept {
    if (auto* s = std::exchange(shelf_, nullptr)) {
        s->home().give_back(*s, *user_, leaving_);
    }
}

void permit::leave() noexcept {
    if (shelf_ != nullptr && !leaving_) {
        const std::lock_guard lock{shelf_->directory_.mutex_};
        ++shelf_->leaving_;
        leaving_ = true;
    }
}

bool permit::leave_above(unsigned floor) noexcept {
    if (shelf_ == nullptr || leaving_) {
        return false;
    }
    const std::lock_guard lock{shelf_->directory_.mutex_};
    if (shelf_->size_ - shelf_->leaving_ <= floor) {
        return false;
    }
    ++shelf_->leaving_;
    leaving_ = true;
    return true;
}

client_slot::refusal client_slot::take(std::shared_ptr<account> database, account& user) noexcept {
    if (!take_client(*database)) {
        return refusal::database_full;
    }
    if (!take_client(user)) {
        database->clients.fetch_sub(1);
        return refusal::user_full;
    }
    database_ = std::move(database);
    user_ = &user;
    return refusal::none;
}

void client_slot::reset() noexcept {
    if (database_ != nullptr) {
        database_->clients.fetch_sub(1);
        user_->clients.fetch_sub(1);
        database_.reset();
        user_ = nullptr;
    }
}

shelf::shelf(directory& d, shelf_key k, std::shared_ptr<account> db, account& user)
    : key{std::move(k)}, directory_{d}, database_{std::move(db)}, user_{&user} {}

std::string shelf::last_error() const {
    const std::lock_guard lock{directory_.mutex_};
    return last_error_;
}

void shelf::set_last_error(std::string text) {
    const std::lock_guard lock{directory_.mutex_};
    last_error_ = std::move(text);
}

unsigned shelf::size() const {
    const std::lock_guard lock{directory_.mutex_};
    return size_;
}

unsigned shelf::staying() const {
    const std::lock_guard lock{directory_.mutex_};
    return size_ - leaving_;
}

void directory::limit_clients(const std::string& name, unsigned most) {
    user_account(name).max_clients = most;
}

account& directory::user_account(const std::string& name) {
    const std::lock_guard lock{mutex_};
    auto& a = users_[name];
    if (!a) {
        a = std::make_unique<account>();
    }
    return *a;
}

shelf_ptr directory::open(const shelf_key& key,
                          const config::pool_settings& pool,
                          const config::database_settings& database,
                          const config::user_settings* user) {
    auto& owner = user_account(key.role.empty() ? database.user : key.role);
    const std::lock_guard lock{mutex_};
    auto& s = shelves_[key];
    if (!s) {
        auto& known = databases_[key.database];
        auto db = known.lock();
        if (!db) {
            known = db = std::make_shared<account>();
        }
        s = std::make_shared<shelf>(*this, key, std::move(db), owner);
    }
    s->user_ = &owner;
    s->limit_ = pool.size;
    s->reserve_ = pool.reserve_size;
    s->min_size_ = pool.min_size;
    auto& db = *s->database_;
    db.max_servers = database.max_server_connections;
    db.max_clients = database.max_client_connections;
    owner.max_servers = user == nullptr ? 0 : user->max_server_connections;
    return s;
}

void directory::set_minimum(shelf& s, unsigned servers) {
    const std::lock_guard lock{mutex_};
    s.min_size_ = servers;
}

void directory::sweep() noexcept {
    const std::lock_guard lock{mutex_};
    // A hold comes from open(), under this lock, or from another hold: with one left, the map's,
    // there can be no new one meanwhile.
    std::erase_if(shelves_,
                  [](const auto& s) { return s.second.use_count() == 1 && s.second->size_ == 0; });
    std::erase_if(databases_, [](const auto& d) { return d.second.expired(); });
}

directory::grant directory::take(shelf& s, bool use_reserve, unsigned max_connecting) {
    const std::lock_guard lock{mutex_};
    if (s.connecting.load() >= max_connecting) {
        return {permit{}, refusal::busy};
    }
    if (s.is_full(use_reserve)) {
        return {permit{}, refusal::pool_full};
    }
    if (!has_room(s.database_->servers, s.database_->max_servers)) {
        return {permit{}, refusal::database_full};
    }
    if (!has_room(s.user_->servers, s.user_->max_servers)) {
        return {permit{}, refusal::user_full};
    }
    ++s.size_;
    ++s.database_->servers;
    ++s.user_->servers;
    ++s.connecting;
    return {permit{s, *s.user_}, refusal::none};
}

bool directory::has_room_for(const shelf& s) const noexcept {
    return s.size_ < s.limit_ + s.reserve_ &&
           has_room(s.database_->servers, s.database_->max_servers) &&
           has_room(s.user_->servers, s.user_->max_servers);
}

void directory::give_back(shelf& s, account& user, bool leaving) noexcept {
    // Whoever waits for a permit of this pool, this database or this user may now get one. The pool
    // whose client waits longest comes first.
    shelf_ptr next;
    std::int64_t oldest = 0;
    {
        const std::lock_guard lock{mutex_};
        --s.size_;
        s.leaving_ -= leaving ? 1 : 0;
        --s.database_->servers;
        --user.servers;
        for (const auto& [key, other] : shelves_) {
            if (other->waiting.load() == 0 ||
                (other.get() != &s && other->database_ != s.database_ && other->user_ != &user) ||
                !has_room_for(*other)) {
                continue;
            }
            for (auto& e : other->board_) {
                const auto since = e.waiting_since.load();
                if (since != 0 && (next == nullptr || since < oldest)) {
                    next = other;
                    oldest = since;
                }
            }
        }
    }
    if (next != nullptr && freed) {
        freed(*next);
    }
}

shelf_ptr directory::find_victim(shelf& s, refusal why) {
    const std::lock_guard lock{mutex_};
    shelf_ptr victim;
    std::uint32_t most = 0;
    for (const auto& [key, other] : shelves_) {
        const bool related = why == refusal::database_full ? other->database_ == s.database_
                                                           : other->user_ == s.user_;
        if (other.get() == &s || !related || other->size_ - other->leaving_ <= other->min_size_) {
            continue;
        }
        std::uint32_t idle = 0;
        for (auto& e : other->board_) {
            idle += e.idle.load();
        }
        if (idle > most) {
            most = idle;
            victim = other;
        }
    }
    return victim;
}

directory::use directory::use_of(std::string_view database) const {
    const std::lock_guard lock{mutex_};
    const auto it = databases_.find(database);
    const auto db = it == databases_.end() ? nullptr : it->second.lock();
    return db == nullptr ? use{} : use{db->servers, db->clients.load()};
}

}  // namespace pgweir::pool
