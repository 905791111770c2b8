// The pool of a user whom the configuration does not name: it logs in with what clients have
// proved.
#include "pool/pool_scene.hpp"

#include <gmock/gmock.h>

#include <mutex>
#include <tuple>
#include <vector>

namespace pgweir::pool {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

class looked_up_user : public pool_scene {
protected:
    looked_up_user() {
        snapshot_.users.clear();
        all_.doubt_user = [this](const std::string& database, const std::string& user,
                                 std::uint64_t serial) {
            const std::lock_guard lock{mutex_};
            doubts_.emplace_back(database, user, serial);
        };
    }

    // A client has logged in; PostgreSQL takes `secret`.
    void prove(const std::string& secret, std::uint64_t serial) {
        login_ = all_.keys.hold(identity());
        all_.keys.remember(identity(), {.keys = {},
                                        .salt = {},
                                        .iterations = 0,
                                        .secret = base::secret{secret},
                                        .serial = serial});
    }
    [[nodiscard]] std::string identity() { return identity_of(snapshot_, database(), "alice"); }
    // The next to connect says its password, which is wrong.
    void refuse_password_of_the_next() {
        auto b = postgres_.accept();
        b.log_in(asking_for_cleartext());
        b.is_told_to_end();
        settle();
    }
    std::vector<std::tuple<std::string, std::string, std::uint64_t>> doubts() {
        const std::lock_guard lock{mutex_};
        return doubts_;
    }

    key_ring::interest login_;  // of the client, until it is at its pool
    std::mutex mutex_;
    std::vector<std::tuple<std::string, std::string, std::uint64_t>> doubts_;
};

TEST_F(looked_up_user, logs_in_with_what_its_client_has_proved) {
    prove(password, 1);
    auto& c = newcomer();
    auto b = postgres_.accept();
    b.log_in(asking_for_cleartext());
    settle();
    EXPECT_TRUE(c.is_served());
}

TEST_F(looked_up_user, may_log_in_for_as_long_as_it_has_a_pool) {
    prove(password, 1);
    const auto [c, b] = served_newcomer();
    login_ = {};
    EXPECT_TRUE(all_.keys.recall(identity()));
}

TEST_F(looked_up_user, is_forgotten_with_its_pool) {
    prove(password, 1);
    auto [c, b] = served_newcomer();
    login_ = {};
    give_back(*c);
    on(0, [](slice& s) { s.close_idle(); });
    b.is_told_to_end();
    b.end();
    settle();
    sweep();
    EXPECT_FALSE(all_.keys.recall(identity()));
}

TEST_F(looked_up_user, is_forgotten_with_its_database) {
    prove(password, 1);
    const auto [c, b] = served_newcomer();
    login_ = {};
    const auto who = identity();
    snapshot_.databases.clear();
    reload();
    EXPECT_FALSE(all_.keys.recall(who));
}

TEST_F(looked_up_user, is_refused_in_postgresql_s_words_when_its_password_has_been_changed) {
    prove("old", 1);
    auto& c = newcomer();
    refuse_password_of_the_next();
    ASSERT_TRUE(c.refusal);
    EXPECT_EQ(c.refusal->sqlstate, "28P01");
    EXPECT_EQ(c.refusal->message, "password authentication failed for user \"alice\"");
    EXPECT_THAT(c.refusal->hint, HasSubstr("has been changed"));
}

TEST_F(looked_up_user, is_doubted_when_postgresql_refuses_it) {
    prove("old", 7);
    newcomer();
    refuse_password_of_the_next();
    EXPECT_THAT(doubts(), ElementsAre(std::tuple{"shop", "alice", 7}));
}

TEST_F(looked_up_user, is_let_in_at_once_with_a_password_that_came_meanwhile) {
    prove("old", 1);
    auto& c = newcomer();
    auto b = postgres_.accept();
    auto answer = asking_for_cleartext();
    b.send(answer(b.read_startup()));
    const auto said = b.read();
    prove(password, 2);
    b.send(answer("p" + std::string(4, '\0') + said->body));
    b.is_told_to_end();
    b.end();
    settle();
    EXPECT_FALSE(c.refusal);
    auto next = postgres_.accept();
    next.log_in(asking_for_cleartext());
    settle();
    EXPECT_TRUE(c.is_served());
}

TEST_F(looked_up_user, keeps_the_servers_that_it_has_when_its_password_has_been_changed) {
    prove(password, 1);
    auto& c = newcomer();
    auto b = postgres_.accept();
    b.log_in(asking_for_cleartext());
    settle();
    prove("new", 2);
    auto& waiting = newcomer();
    refuse_password_of_the_next();
    EXPECT_FALSE(waiting.refusal);
    give_back(c);
    EXPECT_TRUE(waiting.is_served());
}

TEST_F(looked_up_user, that_postgresql_s_rules_keep_out_is_told_so) {
    prove(password, 1);
    auto& c = newcomer();
    auto b = postgres_.accept();
    b.read_startup();
    b.send({error("28000", "no pg_hba.conf entry for host \"192.0.2.7\"")});
    b.is_told_to_end();
    settle();
    ASSERT_TRUE(c.refusal);
    EXPECT_EQ(c.refusal->sqlstate, "28000");
    EXPECT_TRUE(doubts().empty());
}

}  // namespace
}  // namespace pgweir::pool
