// Contexts of both legs as one: all of them or none, and which keys are to blame.
#include "pgweir/pool/tls_store.hpp"

#include "tls/engine_pair.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <filesystem>
#include <string>
#include <variant>
#include <vector>

namespace pgweir::pool {
namespace {

using config::tls_mode;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using contexts_ptr = std::shared_ptr<const tls_contexts>;

config::client_tls_settings offered(const tls::identity& own) {
    return {.mode = tls_mode::prefer,
            .certificate = own.certificate,
            .key = own.key,
            .ca = {},
            .crl = {},
            .ciphers = {},
            .cipher_suites = {},
            .groups = {}};
}

class tls_store_test : public ::testing::Test {
protected:
    contexts_ptr load() {
        auto loaded = tls_contexts::load(snapshot_);
        auto* found = std::get_if<contexts_ptr>(&loaded);
        return found == nullptr ? nullptr : *found;
    }
    std::vector<std::string> problems() {
        auto loaded = tls_contexts::load(snapshot_);
        auto* found = std::get_if<std::vector<std::string>>(&loaded);
        return found == nullptr ? std::vector<std::string>{} : *found;
    }
    tls::identity issue() { return tls::engine_pair::home().issue({.common_name = "pgweir"}); }

    config::snapshot snapshot_;
};

TEST_F(tls_store_test, offers_clients_nothing_where_tls_is_disabled) {
    EXPECT_EQ(load()->clients, nullptr);
}

TEST_F(tls_store_test, offers_clients_the_certificate_of_the_configuration) {
    snapshot_.client_tls = offered(issue());
    EXPECT_NE(load()->clients, nullptr);
}

TEST_F(tls_store_test, tells_its_own_certificates) {
    const auto own = issue();
    snapshot_.client_tls = offered(own);
    const auto rows = load()->certificates;
    ASSERT_EQ(rows.size(), 1U);
    EXPECT_EQ(rows[0].section, "client_tls");
    EXPECT_EQ(rows[0].file, own.certificate);
    EXPECT_GT(rows[0].not_after, std::chrono::system_clock::now());
}

TEST_F(tls_store_test, shares_one_context_among_those_who_connect_alike) {
    snapshot_.databases["a"].tls.sslmode = tls_mode::require;
    snapshot_.databases["b"].tls.sslmode = tls_mode::require;
    EXPECT_EQ(load()->servers.size(), 2U);  // with that of [server_tls]
}

TEST_F(tls_store_test, has_no_context_for_those_who_connect_without) {
    snapshot_.server_tls.sslmode = tls_mode::disable;
    EXPECT_TRUE(load()->servers.empty());
}

TEST_F(tls_store_test, blames_each_key) {
    snapshot_.client_tls = offered({"/nowhere.crt", "/nowhere.key"});
    auto& tls = snapshot_.databases["shop"].tls;
    tls.sslmode = tls_mode::verify_full;
    tls.sslrootcert = "/nowhere/root.crt";
    EXPECT_THAT(problems(),
                ElementsAre(HasSubstr("client_tls.certificate: could not load server certificate "
                                      "file \"/nowhere.crt\""),
                            HasSubstr("database.shop.tls.sslrootcert: could not load root "
                                      "certificate file \"/nowhere/root.crt\"")));
}

TEST_F(tls_store_test, is_up_to_date_while_no_file_changes) {
    snapshot_.client_tls = offered(issue());
    EXPECT_FALSE(load()->are_outdated());
}

TEST_F(tls_store_test, is_outdated_once_a_file_is_replaced) {
    const auto own = issue();
    snapshot_.client_tls = offered(own);
    const auto contexts = load();
    std::filesystem::rename(issue().key, own.key);
    EXPECT_TRUE(contexts->are_outdated());
}

TEST_F(tls_store_test, is_outdated_once_a_file_is_gone) {
    const auto own = issue();
    snapshot_.client_tls = offered(own);
    const auto contexts = load();
    std::filesystem::remove(own.certificate);
    EXPECT_TRUE(contexts->are_outdated());
}

TEST_F(tls_store_test, gives_each_server_the_context_of_its_settings) {
    snapshot_.databases["shop"].tls.sslmode = tls_mode::require;
    tls_store store;
    store.put(load());
    const auto mine = store.for_servers(snapshot_.databases["shop"].tls);
    EXPECT_NE(mine, nullptr);
    EXPECT_NE(mine, store.for_servers(snapshot_.server_tls));
}

TEST_F(tls_store_test, has_nothing_before_it_is_filled) {
    EXPECT_EQ(tls_store{}.for_servers(snapshot_.server_tls), nullptr);
}

}  // namespace
}  // namespace pgweir::pool
