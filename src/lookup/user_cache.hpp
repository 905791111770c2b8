// What PostgreSQL has said of users, and when it has to be asked again.
#pragma once

#include "pgweir/auth/found_user.hpp"
#include "pgweir/base/clock.hpp"

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <list>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

namespace pgweir::lookup {

struct cache_settings {
    std::chrono::milliseconds ttl{10'000};
    std::chrono::milliseconds negative_ttl{5'000};
    std::chrono::milliseconds refresh{1'000};
    std::chrono::milliseconds stale{300'000};
    std::size_t size = 10'000;  // known users, and as many unknown ones; at least 1
    friend bool operator==(const cache_settings&, const cache_settings&) = default;
};

// The users of one place. Decides whether a login needs PostgreSQL; does not ask it. However many
// wait for a user, it is asked for once at a time. Who is unknown is kept apart from who is known:
// somebody who tries names pushes no real user out.
class user_cache {
public:
    // `serials`: the last serial given out; shared by all caches, so that a user's serials rise
    // whichever cache they come from.
    user_cache(cache_settings settings, std::uint64_t& serials)
        : settings_{settings}, serials_{serials} {}

    enum class need : std::uint8_t {
        none,  // `user` is the answer
        ask,   // ask PostgreSQL, then say so to on_found() or on_failed()
        wait,  // it is being asked already
    };
    struct decision {
        need what = need::none;
        auth::found_user user;
    };
    // Somebody logs in.
    [[nodiscard]] decision find(const std::string& user, base::time_point now);
    // A password was refused that was checked with this answer. True: it may have been changed
    // since; ask PostgreSQL as above.
    [[nodiscard]] bool doubt(const std::string& user, std::uint64_t serial, base::time_point now);
    // Whom a question is due for: asked, and not answered by on_found() or on_failed() yet.
    [[nodiscard]] std::vector<std::string> asking() const;
    // What PostgreSQL said. `secret`: nothing: there is no such user; empty: it has no password.
    auth::found_user on_found(const std::string& user,
                              std::optional<base::secret> secret,
                              base::time_point now);
    // PostgreSQL could not be asked. What may be used all the same; nothing: there is none.
    std::optional<auth::found_user> on_failed(const std::string& user, base::time_point now);
    // The same, while it goes on being asked.
    [[nodiscard]] std::optional<auth::found_user> stale(const std::string& user,
                                                        base::time_point now) const;

    void configure(cache_settings settings);
    [[nodiscard]] std::size_t known() const noexcept { return known_.size(); }
    [[nodiscard]] std::size_t unknown() const noexcept { return unknown_.size(); }

private:
    struct entry {
        std::string name;
        auth::found_user found;
        base::time_point answered;
        base::time_point asked;  // when it was last begun to be asked for
    };
    using entries = std::list<entry>;  // the least used last

    [[nodiscard]] entries& list_of(const entry& e) noexcept {
        return e.found.known ? known_ : unknown_;
    }
    [[nodiscard]] bool is_fresh(const entry& e, base::time_point now) const noexcept;
    [[nodiscard]] auth::found_user tell(const entry& e) const;
    void drop(entries::iterator e);
    void shrink(entries& list);

    cache_settings settings_;
    std::uint64_t& serials_;
    entries known_;
    entries unknown_;
    std::unordered_map<std::string, entries::iterator> index_;
    std::unordered_map<std::string, base::time_point> asking_;  // since when
    auth::census seen_;                                         // of known_
};

}  // namespace pgweir::lookup
