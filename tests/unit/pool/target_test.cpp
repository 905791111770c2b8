// Where a pool's servers are, from configuration.
#include "pgweir/pool/target.hpp"

#include "pgweir/auth/scram_keys.hpp"

#include <gtest/gtest.h>

#include <string>

namespace pgweir::pool {
namespace {

config::database_settings shop() {
    config::database_settings d;
    d.name = "shop";
    d.host = "192.0.2.7";
    return d;
}

config::snapshot with_alice(const std::string& password, const std::string& server_password = {}) {
    config::snapshot s;
    config::user_settings user;
    user.name = "alice";
    user.password = base::secret{password};
    user.server_password = base::secret{server_password};
    s.users.emplace("alice", user);
    return s;
}

target_ptr target_of(const config::snapshot& s, const config::database_settings& d) {
    return make_target(s, d, "shop", "alice");
}

TEST(target, is_the_database_as_clients_call_it) {
    EXPECT_EQ(target_of({}, shop())->dbname, "shop");
}

TEST(target, is_the_database_that_the_configuration_names) {
    auto d = shop();
    d.dbname = "shop_v2";
    EXPECT_EQ(target_of({}, d)->dbname, "shop_v2");
}

TEST(target, has_the_client_s_user) { EXPECT_EQ(target_of({}, shop())->user, "alice"); }

TEST(target, has_the_user_that_the_database_forces) {
    auto d = shop();
    d.user = "app";
    EXPECT_EQ(target_of({}, d)->user, "app");
}

TEST(target, has_the_password_of_the_forced_user) {
    auto d = shop();
    d.user = "app";
    d.password = base::secret{"pencil"};
    EXPECT_EQ(target_of({}, d)->password.reveal(), "pencil");
}

TEST(target, has_the_user_s_own_password) {
    EXPECT_EQ(target_of(with_alice("pencil"), shop())->password.reveal(), "pencil");
}

TEST(target, prefers_the_password_meant_for_servers) {
    EXPECT_EQ(target_of(with_alice("pencil", "crayon"), shop())->password.reveal(), "crayon");
}

TEST(target, has_no_password_where_only_a_verifier_is_known) {
    const auto verifier = auth::make_scram_verifier("pencil", "0123456789abcdef", 1).to_string();
    EXPECT_TRUE(target_of(with_alice(verifier), shop())->password.empty());
}

TEST(target, is_the_same_server_while_nothing_changed) {
    EXPECT_TRUE(target_of({}, shop())->is_same_server(*target_of({}, shop())));
}

TEST(target, is_another_server_with_another_password) {
    EXPECT_FALSE(target_of(with_alice("pencil"), shop())
                     ->is_same_server(*target_of(with_alice("crayon"), shop())));
}

TEST(target, is_the_same_server_with_other_keepalives) {
    config::snapshot s;
    s.tcp.keepalive_idle = std::chrono::seconds{7};
    EXPECT_TRUE(target_of(s, shop())->is_same_server(*target_of({}, shop())));
}

TEST(target, has_the_keepalives_of_the_configuration) {
    config::snapshot s;
    s.tcp.keepalive_idle = std::chrono::seconds{7};
    EXPECT_EQ(target_of(s, shop())->tcp.keepalive_idle, 7);
}

TEST(target, goes_by_one_identity_wherever_a_configured_user_is) {
    EXPECT_EQ(identity_of(with_alice("pencil"), shop(), "alice"), "alice");
}

TEST(target, tells_users_apart_who_were_looked_up_for_different_databases) {
    auto other = shop();
    other.name = "stock";
    EXPECT_NE(identity_of({}, shop(), "alice"), identity_of({}, other, "alice"));
}

TEST(target, does_not_take_a_user_who_was_looked_up_for_a_configured_one) {
    EXPECT_NE(target_of({}, shop())->identity, target_of(with_alice("pencil"), shop())->identity);
    EXPECT_TRUE(target_of({}, shop())->is_looked_up);
    EXPECT_FALSE(target_of(with_alice("pencil"), shop())->is_looked_up);
}

TEST(target, has_the_identity_of_the_user_that_the_database_forces) {
    auto d = shop();
    d.user = "app";
    EXPECT_EQ(target_of({}, d)->identity, "app");
    EXPECT_FALSE(target_of({}, d)->is_looked_up);
}

}  // namespace
}  // namespace pgweir::pool
