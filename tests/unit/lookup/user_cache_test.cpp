// Who is known for how long, and when PostgreSQL is asked again.
#include "lookup/user_cache.hpp"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace pgweir::lookup {
namespace {

using namespace std::chrono_literals;
using need = user_cache::need;

base::secret text(const char* s) { return base::secret{s}; }

class user_cache_test : public ::testing::Test {
protected:
    need find(const std::string& user) { return cache_.find(user, now_).what; }
    auth::found_user known(const std::string& user) { return cache_.find(user, now_).user; }
    // Somebody logs in, and PostgreSQL answers.
    auth::found_user learn(const std::string& user, const char* secret = "old") {
        EXPECT_EQ(find(user), need::ask);
        return cache_.on_found(user, text(secret), now_);
    }
    void learn_that_nobody_is(const std::string& user) {
        EXPECT_EQ(find(user), need::ask);
        (void)cache_.on_found(user, std::nullopt, now_);
    }

    std::uint64_t serials_ = 0;
    base::time_point now_ = base::time_point{1h};
    user_cache cache_{{.ttl = 10s, .negative_ttl = 5s, .refresh = 1s, .stale = 60s, .size = 2},
                      serials_};
};

TEST_F(user_cache_test, asks_for_whom_it_does_not_know) { EXPECT_EQ(find("ann"), need::ask); }

TEST_F(user_cache_test, answers_by_what_it_has_been_told) {
    learn("ann", "pencil");
    EXPECT_EQ(known("ann").secret.reveal(), "pencil");
}

TEST_F(user_cache_test, asks_once_however_many_wait) {
    EXPECT_EQ(find("ann"), need::ask);
    EXPECT_EQ(find("ann"), need::wait);
    EXPECT_EQ(find("ann"), need::wait);
}

TEST_F(user_cache_test, knows_whom_a_question_is_due_for) {
    const auto found = learn("ann");
    learn("bob");
    now_ += 2s;
    EXPECT_TRUE(cache_.doubt("ann", found.serial, now_));
    EXPECT_EQ(cache_.asking(), std::vector<std::string>{"ann"});
    (void)cache_.on_failed("ann", now_);
    EXPECT_TRUE(cache_.asking().empty());
}

TEST_F(user_cache_test, asks_for_each_user) {
    EXPECT_EQ(find("ann"), need::ask);
    EXPECT_EQ(find("bob"), need::ask);
}

TEST_F(user_cache_test, asks_again_after_the_ttl) {
    learn("ann");
    now_ += 10s;
    EXPECT_EQ(find("ann"), need::ask);
}

TEST_F(user_cache_test, uses_an_answer_up_to_its_ttl) {
    learn("ann");
    now_ += 10s - 1ns;
    EXPECT_EQ(find("ann"), need::none);
}

TEST_F(user_cache_test, remembers_that_there_is_nobody_of_a_name) {
    learn_that_nobody_is("eve");
    EXPECT_FALSE(known("eve").known);
}

TEST_F(user_cache_test, asks_for_nobody_again_after_the_negative_ttl) {
    learn_that_nobody_is("eve");
    now_ += 5s;
    EXPECT_EQ(find("eve"), need::ask);
}

TEST_F(user_cache_test, knows_a_user_without_a_password) {
    EXPECT_EQ(find("ann"), need::ask);
    const auto found = cache_.on_found("ann", text(""), now_);
    EXPECT_TRUE(found.known);
    EXPECT_TRUE(found.secret.empty());
}

TEST_F(user_cache_test, asks_again_when_a_password_was_refused) {
    const auto found = learn("ann");
    now_ += 1s;
    EXPECT_TRUE(cache_.doubt("ann", found.serial, now_));
}

TEST_F(user_cache_test, lets_logins_wait_while_a_password_is_in_doubt) {
    const auto found = learn("ann");
    now_ += 1s;
    EXPECT_TRUE(cache_.doubt("ann", found.serial, now_));
    EXPECT_EQ(find("ann"), need::wait);
}

TEST_F(user_cache_test, asks_once_for_many_refused_passwords) {
    const auto found = learn("ann");
    now_ += 1s;
    EXPECT_TRUE(cache_.doubt("ann", found.serial, now_));
    EXPECT_FALSE(cache_.doubt("ann", found.serial, now_));
}

TEST_F(user_cache_test, does_not_ask_again_within_the_rate_limit) {
    const auto found = learn("ann");
    now_ += 1s - 1ns;
    EXPECT_FALSE(cache_.doubt("ann", found.serial, now_));
}

TEST_F(user_cache_test, counts_the_rate_limit_from_the_last_question) {
    const auto found = learn("ann");
    now_ += 5s;
    EXPECT_TRUE(cache_.doubt("ann", found.serial, now_));
    (void)cache_.on_found("ann", text("old"), now_);
    now_ += 999ms;
    EXPECT_FALSE(cache_.doubt("ann", found.serial, now_));
}

TEST_F(user_cache_test, counts_the_rate_limit_also_from_a_question_that_failed) {
    const auto found = learn("ann");
    now_ += 5s;
    EXPECT_TRUE(cache_.doubt("ann", found.serial, now_));
    (void)cache_.on_failed("ann", now_);
    EXPECT_FALSE(cache_.doubt("ann", found.serial, now_ + 999ms));
}

TEST_F(user_cache_test, does_not_doubt_what_has_been_replaced_already) {
    const auto old = learn("ann", "old");
    now_ += 10s;
    learn("ann", "new");
    now_ += 5s;
    EXPECT_FALSE(cache_.doubt("ann", old.serial, now_));
}

TEST_F(user_cache_test, asks_for_an_unknown_user_again_after_a_refused_password) {
    learn_that_nobody_is("eve");
    now_ += 1s;
    EXPECT_TRUE(cache_.doubt("eve", 0, now_));
}

TEST_F(user_cache_test, gives_a_changed_password_a_higher_serial) {
    const auto old = learn("ann", "old");
    now_ += 10s;
    EXPECT_GT(learn("ann", "new").serial, old.serial);
}

TEST_F(user_cache_test, leaves_an_unchanged_password_its_serial) {
    const auto old = learn("ann", "old");
    now_ += 10s;
    EXPECT_EQ(learn("ann", "old").serial, old.serial);
}

TEST_F(user_cache_test, gives_serials_that_no_other_cache_gives) {
    user_cache other{{}, serials_};
    EXPECT_NE(learn("ann").serial, other.on_found("ann", text("old"), now_).serial);
}

TEST_F(user_cache_test, uses_an_old_answer_while_postgresql_cannot_be_asked) {
    learn("ann");
    now_ += 69s;
    EXPECT_EQ(find("ann"), need::ask);
    EXPECT_TRUE(cache_.on_failed("ann", now_));
}

TEST_F(user_cache_test, uses_no_answer_that_is_older_than_it_may_be) {
    learn("ann");
    now_ += 70s;
    EXPECT_EQ(find("ann"), need::ask);
    EXPECT_FALSE(cache_.on_failed("ann", now_));
}

TEST_F(user_cache_test, does_not_go_on_calling_somebody_unknown_while_it_cannot_ask) {
    learn_that_nobody_is("eve");
    now_ += 5s;
    EXPECT_EQ(find("eve"), need::ask);
    EXPECT_FALSE(cache_.on_failed("eve", now_));
}

TEST_F(user_cache_test, asks_again_at_once_after_a_failure) {
    EXPECT_EQ(find("ann"), need::ask);
    (void)cache_.on_failed("ann", now_);
    EXPECT_EQ(find("ann"), need::ask);
}

TEST_F(user_cache_test, forgets_who_has_not_come_for_longest) {
    learn("ann");
    learn("bob");
    EXPECT_EQ(find("ann"), need::none);
    learn("cid");
    EXPECT_EQ(find("ann"), need::none);
    EXPECT_EQ(find("bob"), need::ask);
    EXPECT_EQ(cache_.known(), 2U);
}

TEST_F(user_cache_test, forgets_no_user_for_names_of_nobody) {
    learn("ann");
    for (const auto* name : {"e1", "e2", "e3", "e4"}) {
        learn_that_nobody_is(name);
    }
    EXPECT_EQ(find("ann"), need::none);
    EXPECT_EQ(cache_.unknown(), 2U);
}

TEST_F(user_cache_test, shrinks_when_it_is_told_to) {
    learn("ann");
    learn("bob");
    cache_.configure({.size = 1});
    EXPECT_EQ(cache_.known(), 1U);
}

TEST_F(user_cache_test, follows_a_user_who_was_dropped) {
    learn("ann");
    now_ += 10s;
    learn_that_nobody_is("ann");
    EXPECT_FALSE(known("ann").known);
    EXPECT_EQ(cache_.known(), 0U);
}

std::string verifier(int iterations) {
    return auth::scram_verifier{iterations, "salt", {}, {}}.to_string();
}

TEST_F(user_cache_test, lets_nobody_look_like_most_users) {
    learn("ann", verifier(7'000).c_str());
    learn_that_nobody_is("eve");
    EXPECT_EQ(known("eve").others, (auth::likeness{7'000, true}));
}

TEST_F(user_cache_test, does_not_say_what_users_look_like_before_it_knows_one) {
    learn_that_nobody_is("eve");
    EXPECT_FALSE(known("eve").others);
}

TEST_F(user_cache_test, forgets_what_a_user_looked_like) {
    learn("ann", verifier(7'000).c_str());
    now_ += 10s;
    learn("ann", verifier(9'000).c_str());
    learn_that_nobody_is("eve");
    EXPECT_EQ(known("eve").others->iterations, 9'000);
}

}  // namespace
}  // namespace pgweir::lookup
