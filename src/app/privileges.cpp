// Changing accounts: setresuid(2) and what must come with it.
#include "pgweir/app/privileges.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <grp.h>
#include <optional>
#include <pwd.h>
#include <stdexcept>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>
#include <utility>
#include <vector>

namespace pgweir::app {
namespace {

// As long as an entry of a directory service may get; getpwnam_r(3).
constexpr std::size_t entry_size = 65'536;

[[noreturn]] void fail(const std::string& what, int error) {
    throw std::runtime_error{what + ": " + std::strerror(error)};
}

struct account {
    uid_t uid = 0;
    gid_t gid = 0;
};

account find_user(const std::string& name) {
    std::vector<char> text(entry_size);
    passwd entry{};
    passwd* found = nullptr;
    const int error = ::getpwnam_r(name.c_str(), &entry, text.data(), text.size(), &found);
    if (found == nullptr) {
        throw std::runtime_error{"process.user: there is no user \"" + name + '"' +
                                 (error == 0 ? "" : std::string{": "} + std::strerror(error))};
    }
    return {found->pw_uid, found->pw_gid};
}

gid_t find_group(const std::string& name) {
    std::vector<char> text(entry_size);
    group entry{};
    group* found = nullptr;
    const int error = ::getgrnam_r(name.c_str(), &entry, text.data(), text.size(), &found);
    if (found == nullptr) {
        throw std::runtime_error{"process.group: there is no group \"" + name + '"' +
                                 (error == 0 ? "" : std::string{": "} + std::strerror(error))};
    }
    return found->gr_gid;
}

bool is_only(uid_t user, gid_t group) noexcept {
    std::array<uid_t, 3> users{};
    std::array<gid_t, 3> groups{};
    return ::getresuid(&users[0], &users[1], &users[2]) == 0 &&
           ::getresgid(&groups[0], &groups[1], &groups[2]) == 0 &&
           users == std::array{user, user, user} && groups == std::array{group, group, group};
}

}  // namespace

identity_choice choose_identity(const identity_facts& facts) noexcept {
    const bool is_root = facts.current == 0;
    // Whoever names root has not said that this is meant.
    if (!facts.has_wanted || facts.wanted == facts.current) {
        return is_root && !facts.may_stay_root ? identity_choice::refuse_root
                                               : identity_choice::stay;
    }
    return is_root ? identity_choice::become : identity_choice::refuse_other;
}

privileges::privileges(const config::process_settings& wanted, bool may_stay_root)
    : user_{wanted.user} {
    identity_facts facts{.current = ::geteuid(), .may_stay_root = may_stay_root};
    if (!user_.empty()) {
        const auto found = find_user(user_);
        uid_ = found.uid;
        gid_ = wanted.group.empty() ? found.gid : find_group(wanted.group);
        facts.has_wanted = true;
        facts.wanted = uid_;
    }
    switch (choose_identity(facts)) {
        case identity_choice::stay: return;
        case identity_choice::become:
            has_account_ = true;
            // A thread hands it on to those that it makes, and this one has made none yet.
            if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) {
                fail("cannot give up the right to new privileges", errno);
            }
            return;
        case identity_choice::refuse_root:
            throw std::runtime_error{
                "pgweir does not run as root: name the account to become as process.user, start it "
                "from another account, or insist with --allow-root"};
        case identity_choice::refuse_other: break;
    }
    throw std::runtime_error{"process.user is \"" + user_ +
                             "\", and only root can become somebody else"};
}

void privileges::act_as(uid_t user, gid_t group) {
    // Only root may change the group: it comes first on the way down, and last on the way up.
    const bool is_down = user != 0;
    if ((is_down && ::setresgid(static_cast<gid_t>(-1), group, static_cast<gid_t>(-1)) != 0) ||
        ::setresuid(static_cast<uid_t>(-1), user, static_cast<uid_t>(-1)) != 0 ||
        (!is_down && ::setresgid(static_cast<gid_t>(-1), group, static_cast<gid_t>(-1)) != 0)) {
        fail("cannot act as user \"" + user_ + '"', errno);
    }
}

void privileges::lower() {
    if (!has_account_) {
        return;
    }
    if (::initgroups(user_.c_str(), gid_) != 0) {
        fail("cannot take the groups of user \"" + user_ + '"', errno);
    }
    act_as(uid_, gid_);
}

void privileges::as_root(const std::function<void()>& what) {
    if (!has_account_) {
        return what();
    }
    act_as(0, 0);
    try {
        what();
    } catch (...) {
        act_as(uid_, gid_);
        throw;
    }
    act_as(uid_, gid_);
}

void privileges::drop(bool may_be_dumped) {
    if (!has_account_) {
        return;
    }
    act_as(0, 0);
    if (::setresgid(gid_, gid_, gid_) != 0 || ::setresuid(uid_, uid_, uid_) != 0) {
        fail("cannot become user \"" + user_ + '"', errno);
    }
    // Neither is supposed to work; that one of them might is what a mistake above would look like.
    if (!is_only(uid_, gid_) || ::setresuid(0, 0, 0) == 0 ||
        ::setresuid(static_cast<uid_t>(-1), 0, static_cast<uid_t>(-1)) == 0) {
        throw std::runtime_error{"became user \"" + user_ + "\", and could become root again"};
    }
    // Changing accounts has switched dumps off: the memory is of somebody who was root.
    if (may_be_dumped) {
        ::prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
    }
}

void limit_core_dumps(bool are_allowed) noexcept {
    rlimit limit{};
    if (are_allowed || ::getrlimit(RLIMIT_CORE, &limit) != 0) {
        return;
    }
    // Less than any dump needs. And unlike 0, 1 also keeps the kernel from starting the program
    // that core(5) calls a handler: it takes it for a handler's own crash.
    const auto least = std::min<rlim_t>(limit.rlim_max, 1);
    limit = {least, least};
    ::setrlimit(RLIMIT_CORE, &limit);
}

}  // namespace pgweir::app
