// Settings that clients share, and the SQL that makes a server have them.
#include "pgweir/pool/settings.hpp"

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace pgweir::pool {
namespace {

using values = std::vector<std::pair<std::string, std::string>>;

TEST(settings_store, gives_the_same_object_for_the_same_settings) {
    settings_store store;
    const auto first = store.intern({{"datestyle", "ISO"}, {"timezone", "UTC"}});
    EXPECT_EQ(store.intern({{"datestyle", "ISO"}, {"timezone", "UTC"}}), first);
}

TEST(settings_store, takes_no_notice_of_the_order) {
    settings_store store;
    const auto first = store.intern({{"datestyle", "ISO"}, {"timezone", "UTC"}});
    EXPECT_EQ(store.intern({{"timezone", "UTC"}, {"datestyle", "ISO"}}), first);
}

TEST(settings_store, takes_no_notice_of_the_case_of_names) {
    settings_store store;
    const auto first = store.intern({{"TimeZone", "UTC"}});
    EXPECT_EQ(store.intern({{"TIMEZONE", "UTC"}}), first);
}

TEST(settings_store, takes_notice_of_the_case_of_values) {
    settings_store store;
    const auto first = store.intern({{"search_path", "A"}});
    EXPECT_NE(store.intern({{"search_path", "a"}}), first);
}

TEST(settings_store, tells_apart_what_is_set_to_nothing_and_what_is_not_set) {
    settings_store store;
    const auto nothing = store.none();
    EXPECT_NE(store.intern({{"search_path", ""}}), nothing);
}

TEST(settings_store, tells_apart_values_that_only_look_alike_when_joined) {
    settings_store store;
    const auto first = store.intern({{"a.a", "x', false), pg_catalog.set_config('b.b"}});
    EXPECT_NE(store.intern({{"a.a", "x"}, {"b.b", ""}}), first);
}

TEST(settings_store, keeps_the_last_value_of_a_name) {
    settings_store store;
    EXPECT_EQ(store.intern({{"timezone", "UTC"}, {"TimeZone", "CET"}})->values,
              (values{{"timezone", "CET"}}));
}

TEST(settings_store, finds_a_value_by_its_name) {
    settings_store store;
    const auto s = store.intern({{"datestyle", "ISO"}, {"timezone", "UTC"}});
    EXPECT_EQ(s->value_of("timezone"), "UTC");
}

TEST(settings_store, has_no_value_for_a_name_that_is_not_set) {
    settings_store store;
    EXPECT_EQ(store.none()->value_of("timezone"), "");
}

void come_and_go(settings_store& store, int number) {
    for (int i = 0; i < number; ++i) {
        (void)store.intern({{"application_name", std::to_string(i)}});
    }
}

TEST(settings_store, forgets_what_nobody_holds_once_others_have_come) {
    settings_store store;
    const std::weak_ptr<const settings> gone = store.intern({{"timezone", "UTC"}});
    come_and_go(store, 100);
    EXPECT_TRUE(gone.expired());
}

TEST(settings_store, still_knows_what_the_client_before_wanted) {
    settings_store store;
    const std::weak_ptr<const settings> before = store.intern({{"timezone", "UTC"}});
    EXPECT_EQ(store.intern({{"timezone", "UTC"}}), before.lock());
}

TEST(settings_store, makes_anew_what_it_forgot) {
    settings_store store;
    (void)store.intern({{"timezone", "UTC"}});
    come_and_go(store, 100);
    EXPECT_EQ(store.intern({{"timezone", "UTC"}})->value_of("timezone"), "UTC");
}

TEST(settings_store, still_knows_what_is_held_after_many_others_came_and_went) {
    settings_store store;
    const auto held = store.intern({{"timezone", "UTC"}});
    come_and_go(store, 1000);
    EXPECT_EQ(store.intern({{"timezone", "UTC"}}), held);
}

TEST(settings_store, gives_many_threads_the_same_object) {
    settings_store store;
    const auto held = store.intern({{"timezone", "UTC"}});
    std::vector<settings_ptr> found(4);
    std::vector<std::thread> threads;
    for (auto& f : found) {
        threads.emplace_back([&store, &f] {
            for (int i = 0; i < 200; ++i) {
                (void)store.intern({{"application_name", std::to_string(i % 50)}});
                f = store.intern({{"timezone", "UTC"}});
            }
        });
    }
    for (auto& t : threads) {
        t.join();
    }
    EXPECT_EQ(found, std::vector<settings_ptr>(4, held));
}

// --- SQL

std::string apply_sql(const std::string& value) {
    return settings_store{}.intern({{"search_path", value}})->apply_sql;
}

std::string setting(const std::string& literal) {
    return "SELECT pg_catalog.set_config(E'search_path', " + literal + ", false)";
}

TEST(apply_sql, is_empty_when_there_is_nothing_to_set) {
    EXPECT_EQ(settings_store{}.none()->apply_sql, "");
}

TEST(apply_sql, sets_all_in_one_statement) {
    EXPECT_EQ(settings_store{}.intern({{"a.b", "1"}, {"c.d", "2"}})->apply_sql,
              "SELECT pg_catalog.set_config(E'a.b', E'1', false), "
              "pg_catalog.set_config(E'c.d', E'2', false)");
}

// Not as \': a server that still has the previous client's encoding may refuse that.
TEST(apply_sql, quotes_quotes) { EXPECT_EQ(apply_sql("a'b"), setting(R"(E'a''b')")); }

TEST(apply_sql, quotes_backslashes) { EXPECT_EQ(apply_sql(R"(a\b)"), setting(R"(E'a\\b')")); }

TEST(apply_sql, leaves_no_way_out_of_its_literal) {
    EXPECT_EQ(apply_sql(R"(\'; DROP TABLE t; --)"), setting(R"(E'\\''; DROP TABLE t; --')"));
}

// In some client encodings (SJIS, BIG5, GBK ...) a backslash may be the second byte of a character
// whose first byte the value ends with, or be swallowed by one in front of it.
TEST(apply_sql, means_the_same_in_every_client_encoding) {
    EXPECT_EQ(apply_sql("\x95'"), setting(R"(E'\x95''')"));
}

TEST(apply_sql, does_not_let_a_digit_join_the_byte_in_front) {
    EXPECT_EQ(apply_sql("\xc3\xa4"
                        "1"),
              setting(R"(E'\xc3\xa41')"));
}

TEST(apply_sql, sets_who_the_session_runs_as_last_and_the_role_behind_its_user) {
    EXPECT_EQ(settings_store{}
                  .intern({{"role", "r"}, {"session_authorization", "s"}, {"timezone", "UTC"}})
                  ->apply_sql,
              "SELECT pg_catalog.set_config(E'timezone', E'UTC', false), "
              "pg_catalog.set_config(E'session_authorization', E's', false), "
              "pg_catalog.set_config(E'role', E'r', false)");
}

std::string restoring(values v) {
    return restoring_sql(*settings_store{}.intern(std::move(v)), "app");
}

TEST(restoring_sql, is_empty_when_there_is_nothing_to_set) { EXPECT_EQ(restoring({}), ""); }

TEST(restoring_sql, sets_only_what_the_session_does_not_set_itself) {
    EXPECT_EQ(restoring({{"datestyle", "ISO"}, {"timezone", "UTC"}}),
              "SELECT pg_catalog.set_config(v.name, v.value, false) FROM (VALUES "
              "(E'datestyle', E'ISO'), (E'timezone', E'UTC')) v(name, value) JOIN "
              "pg_catalog.pg_settings s ON pg_catalog.lower(s.name) = v.name "
              "WHERE s.source <> 'session'");
}

TEST(restoring_sql, sets_a_role_where_there_is_none) {
    EXPECT_EQ(restoring({{"role", "r"}}),
              "SELECT pg_catalog.set_config(E'role', E'r', false) WHERE "
              "pg_catalog.current_setting(E'role') = E'none'");
}

TEST(restoring_sql, sets_the_session_s_user_where_it_is_who_logged_in) {
    EXPECT_EQ(restoring({{"session_authorization", "s"}}),
              "SELECT pg_catalog.set_config(E'session_authorization', E's', false) WHERE "
              "pg_catalog.current_setting(E'session_authorization') = E'app'");
}

constexpr auto all_but_statements =
    "CLOSE ALL; RESET SESSION AUTHORIZATION; RESET ROLE; RESET ALL; UNLISTEN *; "
    "SELECT pg_catalog.pg_advisory_unlock_all(); DISCARD TEMP; DISCARD SEQUENCES; "
    "SELECT pg_catalog.setseed(0.25)";

TEST(preparation_sql, undoes_settings_on_a_server_that_is_not_dirty) {
    EXPECT_EQ(preparation_sql(cleansing::settings, nullptr, 0.25),
              "RESET SESSION AUTHORIZATION; RESET ROLE; RESET ALL");
}

TEST(preparation_sql, keeps_shared_statements_on_a_dirty_server) {
    EXPECT_EQ(preparation_sql(cleansing::session, nullptr, 0.25), all_but_statements);
}

TEST(preparation_sql, undoes_all_where_clients_may_have_named_statements) {
    EXPECT_EQ(preparation_sql(cleansing::all, nullptr, 0.25),
              std::string{all_but_statements} + "; DEALLOCATE ALL");
}

TEST(preparation_sql, ends_with_the_settings_of_the_next_client) {
    const auto next = settings_store{}.intern({{"search_path", "s"}});
    for (const auto what : {cleansing::settings, cleansing::session, cleansing::all}) {
        EXPECT_TRUE(preparation_sql(what, next.get(), 0.25).ends_with("; " + setting("E's'")));
    }
}

TEST(preparation_sql, sets_nothing_for_a_client_without_settings) {
    const auto next = settings_store{}.none();
    EXPECT_EQ(preparation_sql(cleansing::settings, next.get(), 0.25),
              preparation_sql(cleansing::settings, nullptr, 0.25));
}

// --- what decides how SQL text is understood

TEST(parsing_settings, are_the_same_where_only_others_differ) {
    settings_store store;
    const auto one = store.intern({{"application_name", "a"}, {"search_path", "s"}});
    const auto two = store.intern({{"statement_timeout", "1"}, {"search_path", "s"}});
    EXPECT_NE(one, two);
    EXPECT_EQ(one->parsing, two->parsing);
}

TEST(parsing_settings, differ_where_a_text_could_mean_something_else) {
    settings_store store;
    for (const auto* name : {"search_path", "datestyle", "timezone", "role", "anything.else"}) {
        const auto one = store.intern({{name, "a"}});
        const auto two = store.intern({{name, "b"}});
        EXPECT_NE(one->parsing, two->parsing) << name;
    }
}

TEST(parsing_settings, are_still_known_after_many_others_came_and_went) {
    settings_store store;
    const auto held = store.intern({{"search_path", "s"}});
    for (int i = 0; i < 1000; ++i) {
        (void)store.intern({{"timezone", std::to_string(i)}});
    }
    const auto other = store.intern({{"application_name", "a"}, {"search_path", "s"}});
    EXPECT_EQ(other->parsing, held->parsing);
}

}  // namespace
}  // namespace pgweir::pool
