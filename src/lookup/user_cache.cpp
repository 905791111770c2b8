// Who is known for how long.
#include "lookup/user_cache.hpp"

#include <iterator>
#include <utility>

namespace pgweir::lookup {

bool user_cache::is_fresh(const entry& e, base::time_point now) const noexcept {
    return now - e.answered < (e.found.known ? settings_.ttl : settings_.negative_ttl);
}

user_cache::decision user_cache::find(const std::string& user, base::time_point now) {
    // Also one that is fresh: it is only asked for again because it was found wanting.
    if (asking_.contains(user)) {
        return {need::wait, {}};
    }
    const auto at = index_.find(user);
    if (at != index_.end() && is_fresh(*at->second, now)) {
        auto& list = list_of(*at->second);
        list.splice(list.begin(), list, at->second);
        return {need::none, tell(*at->second)};
    }
    asking_.emplace(user, now);
    return {need::ask, {}};
}

bool user_cache::doubt(const std::string& user, std::uint64_t serial, base::time_point now) {
    const auto at = index_.find(user);
    if (at == index_.end() || at->second->found.serial != serial ||
        now - at->second->asked < settings_.refresh) {
        return false;
    }
    return asking_.emplace(user, now).second;
}

std::vector<std::string> user_cache::asking() const {
    std::vector<std::string> all;
    for (const auto& [user, since] : asking_) {
        all.push_back(user);
    }
    return all;
}

auth::found_user user_cache::on_found(const std::string& user,
                                      std::optional<base::secret> secret,
                                      base::time_point now) {
    const auto since = asking_.extract(user);
    entry next{user, {}, now, since.empty() ? now : since.mapped()};
    next.found.known = secret.has_value();
    if (const auto at = index_.find(user); at != index_.end()) {
        if (secret && at->second->found.known && at->second->found.secret == *secret) {
            next.found.serial = at->second->found.serial;
        }
        drop(at->second);
    }
    if (secret) {
        next.found.serial = next.found.serial != 0 ? next.found.serial : ++serials_;
        next.found.secret = std::move(*secret);
        seen_.add(next.found.secret.reveal());
    }
    auto& list = list_of(next);
    list.push_front(std::move(next));
    index_.emplace(user, list.begin());
    // Stays: it is the first.
    shrink(list);
    return tell(list.front());
}

std::optional<auth::found_user> user_cache::on_failed(const std::string& user,
                                                      base::time_point now) {
    const auto since = asking_.extract(user);
    if (const auto at = index_.find(user); at != index_.end() && !since.empty()) {
        at->second->asked = since.mapped();
    }
    return stale(user, now);
}

std::optional<auth::found_user> user_cache::stale(const std::string& user,
                                                  base::time_point now) const {
    const auto at = index_.find(user);
    if (at == index_.end() || !at->second->found.known ||
        now - at->second->answered >= settings_.ttl + settings_.stale) {
        return std::nullopt;
    }
    return tell(*at->second);
}

auth::found_user user_cache::tell(const entry& e) const {
    auto out = e.found;
    if (!seen_.empty()) {
        out.others = seen_.most();
    }
    return out;
}

void user_cache::configure(cache_settings settings) {
    settings_ = settings;
    shrink(known_);
    shrink(unknown_);
}

void user_cache::drop(entries::iterator e) {
    index_.erase(e->name);
    if (e->found.known) {
        seen_.remove(e->found.secret.reveal());
    }
    list_of(*e).erase(e);
}

void user_cache::shrink(entries& list) {
    while (list.size() > settings_.size) {
        drop(std::prev(list.end()));
    }
}

}  // namespace pgweir::lookup
