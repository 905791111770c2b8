// Whom pgweir runs as: what takes root is done first, then root is given up for good.
#pragma once

#include "pgweir/config/snapshot.hpp"

#include <cstdint>
#include <functional>
#include <string>
#include <sys/types.h>

namespace pgweir::app {

// Who a process is, and who it is to be.
struct identity_facts {
    uid_t current = 0;           // effective
    bool has_wanted = false;     // process.user names somebody
    uid_t wanted = 0;            // who that is
    bool may_stay_root = false;  // --allow-root
};
enum class identity_choice : std::uint8_t {
    stay,
    become,        // the user that is wanted
    refuse_root,   // nobody has said that pgweir may be root
    refuse_other,  // only root can become somebody else
};
[[nodiscard]] identity_choice choose_identity(const identity_facts& facts) noexcept;

// The account of process.user, from lower() on. Where there is none, or it is who pgweir is
// already, nothing below does anything. Control thread only, before any client is served; user and
// group ids are those of the process, and so of all threads (glibc).
class privileges {
public:
    // Throws std::runtime_error, with what to do, where pgweir would be whom it must not be, or
    // there is no such account. Where there is one, no program that pgweir runs will have more
    // rights than itself (no_new_privs): so before any other thread is there.
    privileges(const config::process_settings& wanted, bool may_stay_root);

    // Acts as the account from now on, and can still come back. Throws std::runtime_error.
    void lower();
    // Runs `what` as root, where pgweir has been root. lower() comes before, drop() after.
    void as_root(const std::function<void()>& what);
    // Becomes the account for good, and makes sure that there is no way back; aborts the start with
    // std::runtime_error where there is. `may_be_dumped`: see process.core_dumps.
    void drop(bool may_be_dumped);

    // Was root, and is not any more, or will not be.
    [[nodiscard]] bool has_account() const noexcept { return has_account_; }
    [[nodiscard]] const std::string& user() const noexcept { return user_; }

private:
    void act_as(uid_t user, gid_t group);

    bool has_account_ = false;
    std::string user_;
    uid_t uid_ = 0;
    gid_t gid_ = 0;
};

// Unless they are allowed, a crash writes no memory to a disk, and starts no program that would.
void limit_core_dumps(bool are_allowed) noexcept;

}  // namespace pgweir::app
