// Interned statements, and what SQL text is taken for.
#include "pgweir/protocol/statement.hpp"

#include "pgweir/protocol/frame.hpp"

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <string_view>

namespace pgweir::protocol {
namespace {

using namespace std::string_literals;
using namespace std::string_view_literals;

const std::string body = "select $1\0\0\0"s;

std::shared_ptr<const void> some_settings() { return std::make_shared<int>(1); }

// --- interning

TEST(statement_store, shares_the_same_text_types_and_scope) {
    statement_store store{0};
    const auto settings = some_settings();
    const auto first = store.intern(settings, body);
    EXPECT_EQ(store.intern(settings, body), first);
}

TEST(statement_store, tells_texts_apart) {
    statement_store store{0};
    const auto first = store.intern({}, body);
    EXPECT_NE(store.intern({}, "select $2\0\0\0"sv), first);
}

TEST(statement_store, tells_parameter_types_apart) {
    statement_store store{0};
    const auto first = store.intern({}, "select $1\0\0\1\0\0\0\x17"sv);
    EXPECT_NE(store.intern({}, "select $1\0\0\1\0\0\0\x19"sv), first);
}

TEST(statement_store, tells_settings_apart) {
    statement_store store{0};
    const auto first = store.intern(some_settings(), body);
    EXPECT_NE(store.intern(some_settings(), body), first);
}

TEST(statement_store, shares_a_private_one_with_nobody) {
    statement_store store{0};
    const auto shared = store.intern({}, body);
    const auto own = store.make_private(body);
    EXPECT_NE(own, shared);
    EXPECT_NE(store.make_private(body), own);
    EXPECT_EQ(store.intern({}, body), shared);
}

TEST(statement_store, makes_anew_what_nobody_holds) {
    statement_store store{0};
    const auto id = store.intern({}, body)->id;
    EXPECT_NE(store.intern({}, body)->id, id);
}

TEST(statement_store, still_knows_what_is_held_after_many_others_came_and_went) {
    statement_store store{0};
    const auto held = store.intern({}, body);
    for (int i = 0; i < 1000; ++i) {
        (void)store.intern({}, "select " + std::to_string(i) + "\0\0\0"s);
    }
    EXPECT_EQ(store.intern({}, body), held);
}

TEST(statement_store, gives_no_name_again_that_an_earlier_one_of_its_worker_gave) {
    statement_store first{0};
    const auto before = first.intern({}, "SELECT 1\0\0\0"sv);
    statement_store second{0, first.made()};
    EXPECT_NE(second.intern({}, "SELECT 2\0\0\0"sv)->name, before->name);
}

TEST(statement_store, holds_on_to_the_settings_that_tell_scopes_apart) {
    statement_store store{0};
    auto settings = some_settings();
    const std::weak_ptr<const void> watched = settings;
    const auto s = store.intern(settings, body);
    settings.reset();
    EXPECT_FALSE(watched.expired());
}

// --- names

TEST(statement_name, begins_as_all_of_ours_do) {
    statement_store store{0};
    EXPECT_TRUE(store.intern({}, body)->name.starts_with(shared_prefix));
}

TEST(statement_name, is_another_for_each_statement_and_worker) {
    statement_store one{0};
    statement_store other{1};
    const auto first = one.intern({}, body);
    const auto second = one.intern({}, "select 2\0\0\0"sv);
    const auto third = other.intern({}, body);
    EXPECT_NE(first->name, second->name);
    EXPECT_NE(first->name, third->name);
    EXPECT_NE(second->name, third->name);
}

TEST(statement_message, is_the_parse_under_its_name) {
    statement_store store{0};
    const auto s = store.intern({}, body);
    EXPECT_EQ(s->parse.substr(header_size), s->name + '\0' + body);
    EXPECT_EQ(read_frame(s->parse.data()).size, s->parse.size());
    EXPECT_EQ(s->body(), body);
}

TEST(unshared_statement, keeps_no_text_and_may_do_anything) {
    statement_store store{0};
    const auto s = store.make_unshared(transaction_control::none);
    EXPECT_EQ(s->parse, "");
    EXPECT_EQ(s->body(), "");
    EXPECT_TRUE(s->deallocates);
    EXPECT_TRUE(s->changes_parsing);
    EXPECT_EQ(s->effect, text_effect::settings);
}

TEST(statement, knows_what_running_it_does) {
    statement_store store{0};
    EXPECT_TRUE(store.intern({}, "deallocate all\0\0\0"sv)->deallocates);
    EXPECT_FALSE(store.intern({}, body)->deallocates);
    EXPECT_TRUE(store.intern({}, "set role a\0\0\0"sv)->changes_parsing);
    EXPECT_FALSE(store.intern({}, body)->changes_parsing);
    EXPECT_EQ(store.intern({}, "select nextval('s')\0\0\0"sv)->effect, text_effect::dirty);
}

// Its parameter types are no text.
TEST(statement, does_not_look_behind_its_text) {
    statement_store store{0};
    EXPECT_FALSE(store.intern({}, "select $1\0\0\2DISCARD."sv)->deallocates);
}

TEST(significant_name, ends_where_postgresql_cuts_it) {
    EXPECT_EQ(significant(std::string(64, 'n')), std::string(63, 'n'));
    EXPECT_EQ(significant("n"), "n");
}

// --- DEALLOCATE

struct deallocation {
    std::string_view sql;
    std::string_view name;
};

class deallocated : public ::testing::TestWithParam<deallocation> {};

TEST_P(deallocated, is_the_name_as_postgresql_reads_it) {
    EXPECT_EQ(deallocated_name(GetParam().sql), GetParam().name) << GetParam().sql;
}

TEST_P(deallocated, may_be_suspected_by_its_text) {
    if (!GetParam().name.empty()) {
        EXPECT_TRUE(may_deallocate(GetParam().sql)) << GetParam().sql;
    }
}

INSTANTIATE_TEST_SUITE_P(texts,
                         deallocated,
                         ::testing::Values(deallocation{"deallocate a", "a"},
                                           deallocation{"DEALLOCATE Ab_1$", "ab_1$"},
                                           deallocation{"deallocate prepare a", "a"},
                                           deallocation{"deallocate \"Ab\"", "Ab"},
                                           deallocation{"deallocate\"a\"", "a"},
                                           deallocation{"deallocate \"a\"\"b\"", "a\"b"},
                                           deallocation{"deallocate prepare \"prepare\"",
                                                        "prepare"},
                                           deallocation{"deallocate prepare", "prepare"},
                                           deallocation{"deallocate prepare;", "prepare"},
                                           deallocation{"deallocate \"all\"", "all"},
                                           deallocation{"deallocate \"prepare\"", "prepare"},
                                           deallocation{" \t\r\n\f\vdeallocate\na ; ", "a"},
                                           deallocation{"/* x */deallocate/**/a--x", "a"},
                                           deallocation{"-- x\ndeallocate a;-- y\n", "a"},
                                           deallocation{"deallocate \"a--b\"", "a--b"},

                                           deallocation{"", ""},
                                           deallocation{"deallocate", ""},
                                           deallocation{"deallocate all", ""},
                                           deallocation{"deallocate ALL;", ""},
                                           deallocation{"deallocate prepare all", ""},
                                           deallocation{"deallocate a; select 1", ""},
                                           deallocation{"deallocate a;;", ""},
                                           deallocation{"deallocate a b", ""},
                                           deallocation{"deallocate 'a'", ""},
                                           deallocation{"deallocate 1a", ""},
                                           deallocation{"deallocate \"a", ""},
                                           deallocation{"deallocate \"\"", ""},
                                           deallocation{"deallocate \xc3\xa4", ""},
                                           deallocation{"deallocate a\xc3\xa4", ""},
                                           deallocation{"\"deallocate\" a", ""},
                                           deallocation{"deallocatea", ""},
                                           deallocation{"deallocate /* a", ""},
                                           deallocation{"deallocate /* /* */ a */", ""},
                                           deallocation{"select 1", ""}));

TEST(may_deallocate, suspects_the_words_anywhere) {
    for (const auto* sql : {"deallocate all", "DISCARD ALL", "select 1; Deallocate a",
                            "/* */discard plans", "select 'deallocate'"}) {
        EXPECT_TRUE(may_deallocate(sql)) << sql;
    }
}

TEST(may_deallocate, does_not_suspect_others) {
    for (const auto* sql : {"", "select 1", "alloc", "deallo cate"}) {
        EXPECT_FALSE(may_deallocate(sql)) << sql;
    }
}

// --- what others' parsing depends on

TEST(leaves_parsing_alone, knows_queries_and_transaction_control) {
    for (const auto* sql :
         {"select 1", "SELECT 1;", " /* x */ insert into t values (1)", "update t set a = 1",
          "delete from t", "with a as (select 1) select * from a", "values (1)", "begin",
          "START TRANSACTION", "commit; -- x", "end", "abort", "rollback", "savepoint a",
          "release a", "select nextval('s')", "select(1)", "table t", "fetch 1 from c"}) {
        EXPECT_TRUE(leaves_parsing_alone(sql)) << sql;
    }
}

TEST(leaves_parsing_alone, is_not_sure_of_anything_else) {
    for (const auto* sql :
         {"", ";", "set role a", "reset all", "discard all", "create temp table t ()",
          "create table t ()", "do $$ $$", "call p()", "explain select 1", "selectx 1",
          "select 1; set role a", "select ';'", "select set_config('a.b', 'c', false)",
          "select 1 into temp t", "update pg_settings set setting = 1", "(select 1)"}) {
        EXPECT_FALSE(leaves_parsing_alone(sql)) << sql;
    }
}

// --- lone queries

TEST(lone_query, is_a_common_statement_without_another) {
    for (const auto* text : {"select 1", "SELECT 1;", "Insert into t values (1)",
                             "update t set a = 1", "delete from t", "select\n1", "select(1)"}) {
        EXPECT_TRUE(is_lone_query(text)) << text;
        EXPECT_TRUE(begins_harmlessly(text)) << text;
        EXPECT_EQ(study_control(text), transaction_control::none) << text;
    }
}

TEST(lone_query, is_none_that_might_be_more) {
    for (const auto* text : {"", "select", "selects 1", "select_1 2", "select$ 1", "set a = 1",
                             "commit; select", "select 1; commit", "select ';'; commit",
                             " select 1", "selec\0 1", "with a as (select 1) select 1"}) {
        EXPECT_FALSE(is_lone_query(text)) << text;
    }
}

}  // namespace
}  // namespace pgweir::protocol
