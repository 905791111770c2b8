// Who has which statement: what is foreseen, names of clients, what servers hold, and settlements.
#include "pgweir/protocol/statement_state.hpp"

#include "pgweir/protocol/statement_relay.hpp"

#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

namespace pgweir::protocol {
namespace {

using namespace std::string_literals;
using namespace std::string_view_literals;

// --- foreseen

TEST(foreseen_state, is_settled_at_first) {
    const foreseen<int> f{7};
    EXPECT_EQ(f.assumed(), 7);
    EXPECT_TRUE(f.is_settled());
    EXPECT_FALSE(f.must_wait(0));
}

TEST(foreseen_state, is_taken_for_done_within_its_segment) {
    foreseen<int> f{1};
    f.begin(2, 5);
    EXPECT_EQ(f.assumed(), 2);
    EXPECT_FALSE(f.must_wait(5));
    EXPECT_FALSE(f.is_settled());
}

TEST(foreseen_state, must_be_waited_for_in_a_later_segment) {
    foreseen<int> f{1};
    f.begin(2, 5);
    EXPECT_TRUE(f.must_wait(6));
    f.finish(true, 2);
    EXPECT_FALSE(f.must_wait(6));
}

TEST(foreseen_state, goes_back_when_it_was_not_done) {
    foreseen<int> f{1};
    f.begin(2, 0);
    f.finish(false, 2);
    EXPECT_EQ(f.assumed(), 1);
}

TEST(foreseen_state, is_what_the_last_that_was_done_made_it) {
    foreseen<int> f{1};
    f.begin(2, 0);
    f.begin(3, 0);
    f.finish(true, 2);
    EXPECT_EQ(f.assumed(), 3);
    f.finish(false, 3);
    EXPECT_EQ(f.assumed(), 2);
}

TEST(foreseen_state, that_was_set_yields_to_what_is_still_under_way) {
    foreseen<int> f{1};
    f.begin(2, 0);
    f.set(9);
    EXPECT_EQ(f.assumed(), 2);
    f.finish(false, 2);
    EXPECT_EQ(f.assumed(), 9);
}

TEST(foreseen_state, that_was_set_holds_at_once_when_nothing_is_under_way) {
    foreseen<int> f{1};
    f.set(9);
    EXPECT_EQ(f.assumed(), 9);
}

// --- names of a client

struct client_names : ::testing::Test {
    statement_store store{0};
    client_statements client;

    statement_ptr make(const std::string& text) { return store.intern({}, text + "\0\0\0"s); }
    client_statements::named& know(const std::string& name, const statement_ptr& what) {
        auto& n = client.find_or_make(name);
        client.define(n, name, *what);
        n.what.set(what);
        return n;
    }
};

TEST_F(client_names, are_not_there_at_first) {
    EXPECT_EQ(client.find("a"), nullptr);
    EXPECT_TRUE(client.empty());
}

TEST_F(client_names, are_the_same_by_their_first_63_bytes) {
    auto& n = client.find_or_make(std::string(63, 'n') + "one");
    EXPECT_EQ(client.find(std::string(63, 'n') + "other"), &n);
    EXPECT_EQ(client.find(std::string(62, 'n')), nullptr);
    EXPECT_EQ(*n.key, std::string(63, 'n'));
}

TEST_F(client_names, are_freed_when_they_stand_for_nothing) {
    client.tidy(client.find_or_make("a"));
    EXPECT_TRUE(client.empty());
}

TEST_F(client_names, are_kept_while_something_is_under_way) {
    auto& n = client.find_or_make("a");
    n.what.begin(nullptr, 0);
    client.tidy(n);
    EXPECT_EQ(client.size(), 1U);
}

TEST_F(client_names, are_all_forgotten_at_once) {
    know("a", make("select 1"));
    know("b", make("select 2"));
    client.forget_all();
    EXPECT_TRUE(client.empty());
}

TEST_F(client_names, under_way_outlive_that_all_are_forgotten) {
    const auto what = make("select 1");
    auto& n = know("a", what);
    n.what.begin(what, 0);
    client.forget_all();
    ASSERT_NE(client.find("a"), nullptr);
    n.what.finish(false, what);
    client.tidy(n);
    EXPECT_TRUE(client.empty());
}

TEST_F(client_names, are_found_for_a_shared_one) {
    const auto what = make("select 1");
    know("mine", what);
    EXPECT_EQ(client.name_of(what->name), "mine");
    EXPECT_EQ(client.name_of("__pgweir_ffff"), "");
}

TEST_F(client_names, are_ambiguous_when_two_stand_for_one_statement) {
    const auto what = make("select 1");
    know("a", what);
    know("b", make("select 2"));
    EXPECT_FALSE(client.is_ambiguous());
    know("c", what);
    EXPECT_TRUE(client.is_ambiguous());
}

TEST_F(client_names, are_ambiguous_when_one_is_longer_than_postgresql_keeps) {
    know(std::string(64, 'n'), make("select 1"));
    EXPECT_TRUE(client.is_ambiguous());
}

TEST_F(client_names, are_those_that_the_failed_request_used) {
    const auto what = make("select 1");
    know("a", what);
    client.blame("b");
    EXPECT_EQ(client.name_of(what->name), "b");
    client.blame("");
    EXPECT_EQ(client.name_of(what->name), "a");
}

TEST_F(client_names, tie_it_while_a_text_is_not_kept) {
    know("a", make("select 1"));
    EXPECT_FALSE(client.is_tied());
    auto& n = know("b", store.make_unshared(transaction_control::none));
    client.tie();
    EXPECT_TRUE(client.is_tied());
    n.what.set(nullptr);
    EXPECT_FALSE(client.is_tied());
}

// --- the unnamed statement

TEST(unnamed_statement, is_kept_when_it_was_parsed) {
    client_statements client;
    client.finish_unnamed(true, client.await_unnamed("P1"));
    EXPECT_EQ(client.unnamed(), "P1");
    EXPECT_EQ(client.unnamed_count(), 1U);
    EXPECT_TRUE(client.has_unnamed());
}

TEST(unnamed_statement, is_none_when_its_parse_failed) {
    client_statements client;
    client.finish_unnamed(true, client.await_unnamed("P1"));
    client.finish_unnamed(false, client.await_unnamed("P2"));
    EXPECT_EQ(client.unnamed(), "");
    EXPECT_FALSE(client.has_unnamed());
}

TEST(unnamed_statement, is_the_one_before_when_its_parse_was_skipped) {
    client_statements client;
    client.finish_unnamed(true, client.await_unnamed("P1"));
    client.skip_unnamed(client.await_unnamed("P2"));
    EXPECT_EQ(client.unnamed(), "P1");
    EXPECT_EQ(client.unnamed_count(), 1U);
}

TEST(unnamed_statement, may_be_there_while_its_parse_is_under_way) {
    client_statements client;
    const auto kept = client.await_unnamed("P1");
    EXPECT_TRUE(client.has_unnamed());
    client.finish_unnamed(false, kept);
    EXPECT_FALSE(client.has_unnamed());
}

TEST(unnamed_statement, is_not_kept_when_it_is_too_long) {
    client_statements client;
    EXPECT_EQ(client.await_unnamed(std::string(hold_limit, 'x')).size(), hold_limit);
    EXPECT_EQ(client.await_unnamed(std::string(hold_limit + 1, 'x')), "");
}

TEST(unnamed_statement, is_not_kept_when_too_much_is_under_way) {
    client_statements client;
    const std::string parse(hold_limit, 'x');
    for (int i = 0; i < 4; ++i) {
        ASSERT_EQ(client.await_unnamed(parse), parse) << i;
    }
    EXPECT_EQ(client.await_unnamed(parse), "");
}

TEST(unnamed_statement, is_kept_again_when_there_is_room) {
    client_statements client;
    const std::string parse(hold_limit, 'x');
    std::vector<std::string_view> kept;
    for (int i = 0; i < 5; ++i) {
        kept.push_back(client.await_unnamed(parse));
    }
    client.finish_unnamed(true, kept[0]);
    client.finish_unnamed(false, kept[1]);
    client.skip_unnamed(kept[2]);
    for (int i = 0; i < 3; ++i) {
        EXPECT_EQ(client.await_unnamed(parse), parse) << i;
    }
    EXPECT_EQ(client.await_unnamed(parse), "");
}

TEST(unnamed_statement, is_dropped_by_a_query) {
    client_statements client;
    client.finish_unnamed(true, client.await_unnamed("P1"));
    client.drop_unnamed();
    EXPECT_FALSE(client.has_unnamed());
}

// --- what a server holds

struct held_by_server : ::testing::Test {
    statement_store store{0};
    client_statements client;
    session_marks marks;
    server_statements server;

    statement_ptr make(const std::string& text) { return store.intern({}, text + "\0\0\0"s); }
    // It was parsed, and answered.
    statement_ptr hold(const std::string& text) {
        auto s = make(text);
        server.begin({.server = &server.use(s), .is_there = true});
        server.finish({.done = 1}, client, marks);
        return s;
    }
};

TEST_F(held_by_server, is_nothing_at_first) {
    EXPECT_EQ(server.size(), 0U);
    EXPECT_FALSE(server.use(make("select 1")).there.assumed());
}

TEST_F(held_by_server, is_what_was_parsed) {
    const auto s = hold("select 1");
    EXPECT_EQ(server.size(), 1U);
    EXPECT_TRUE(server.use(s).there.assumed());
}

TEST_F(held_by_server, is_what_is_being_parsed) {
    server.begin({.server = &server.use(make("select 1")), .is_there = true});
    EXPECT_EQ(server.size(), 1U);
}

TEST_F(held_by_server, is_not_what_failed_to_be_parsed) {
    server.begin({.server = &server.use(make("bad")), .is_there = true});
    server.finish({.failed = 1}, client, marks);
    EXPECT_EQ(server.size(), 0U);
}

TEST_F(held_by_server, is_not_what_was_closed) {
    const auto s = hold("select 1");
    server.begin({.server = &server.use(s), .is_there = false});
    EXPECT_EQ(server.size(), 0U);
    server.finish({.done = 1}, client, marks);
    EXPECT_FALSE(server.use(s).there.assumed());
}

TEST_F(held_by_server, is_still_what_was_not_closed_for_an_error) {
    const auto s = hold("select 1");
    server.begin({.server = &server.use(s), .is_there = false});
    server.finish({.skipped = 1}, client, marks);
    EXPECT_EQ(server.size(), 1U);
}

TEST_F(held_by_server, is_not_what_a_deallocate_removed) {
    const auto s = hold("select 1");
    server.begin({.server = &server.use(s), .is_there = false, .deallocates = true});
    marks.deallocated = 1;
    server.finish({.done = 1}, client, marks);
    EXPECT_EQ(server.size(), 0U);
    EXPECT_FALSE(marks.hides_statements());
}

// The portal was closed by SQL, and another one declared under its name.
TEST_F(held_by_server, is_still_what_was_not_removed_as_the_tag_tells) {
    const auto s = hold("select 1");
    server.begin({.server = &server.use(s), .is_there = false, .deallocates = true});
    server.finish({.done = 1}, client, marks);
    EXPECT_EQ(server.size(), 1U);
}

TEST_F(held_by_server, is_stale_for_another_link_than_the_one_that_changed_its_session) {
    auto& h = server.use(make("select 1"));
    server.begin_link();
    server.note_parse(h, true);
    EXPECT_FALSE(server.is_stale(h));
    server.begin_link();
    EXPECT_TRUE(server.is_stale(h));
    server.note_parse(h, false);
    EXPECT_FALSE(server.is_stale(h));
}

TEST_F(held_by_server, is_nothing_once_all_was_deallocated) {
    const auto s = hold("select 1");
    (void)hold("select 2");
    server.forget_all();
    EXPECT_EQ(server.size(), 0U);
    EXPECT_FALSE(server.use(s).there.assumed());
}

TEST_F(held_by_server, is_what_is_parsed_behind_a_deallocate_all) {
    server.begin({.server = &server.use(make("select 1")), .is_there = true});
    server.forget_all();
    EXPECT_EQ(server.size(), 1U);
    server.finish({.done = 1}, client, marks);
    EXPECT_EQ(server.size(), 1U);
}

TEST_F(held_by_server, has_no_victim_below_its_limit) {
    (void)hold("select 1");
    EXPECT_EQ(server.find_victim(2), nullptr);
}

TEST_F(held_by_server, has_the_one_used_longest_ago_for_victim) {
    const auto first = hold("select 1");
    const auto second = hold("select 2");
    (void)server.use(first);
    const auto* victim = server.find_victim(2);
    ASSERT_NE(victim, nullptr);
    EXPECT_EQ(victim->what, second);
}

TEST_F(held_by_server, spares_what_an_earlier_segment_still_decides) {
    server.begin({.server = &server.use(make("select 1")), .is_there = true});
    server.end_segment();
    EXPECT_EQ(server.find_victim(1), nullptr);
}

// --- settlements

TEST_F(held_by_server, is_settled_in_the_order_of_requests) {
    const auto ok = make("select 1");
    const auto bad = make("bad");
    const auto late = make("select 2");
    for (const auto& s : {ok, bad, late}) {
        server.begin({.server = &server.use(s), .is_there = true});
    }
    server.finish({.done = 1}, client, marks);
    server.finish({.failed = 1, .skipped = 1}, client, marks);
    EXPECT_EQ(server.size(), 1U);
    EXPECT_TRUE(server.use(ok).there.assumed());
}

TEST_F(held_by_server, settles_the_name_of_its_client_with_it) {
    const auto what = make("select 1");
    auto& n = client.find_or_make("a");
    server.begin({.name = &n, .meaning = what});
    EXPECT_EQ(n.what.assumed(), what);
    server.finish({.done = 1}, client, marks);
    ASSERT_NE(client.find("a"), nullptr);
    EXPECT_TRUE(client.find("a")->what.is_settled());
}

TEST_F(held_by_server, frees_a_name_whose_definition_was_skipped) {
    server.begin({.name = &client.find_or_make("a"), .meaning = make("select 1")});
    server.finish({.skipped = 1}, client, marks);
    EXPECT_TRUE(client.empty());
}

TEST_F(held_by_server, blames_the_name_that_the_failed_request_used) {
    server.begin({.refers = "a"});
    server.begin({.refers = "b"});
    server.finish({.failed = 1, .skipped = 1}, client, marks);
    EXPECT_EQ(client.name_of("__pgweir_40"), "a");
}

TEST_F(held_by_server, blames_nobody_once_something_is_done) {
    server.begin({.refers = "a"});
    server.finish({.failed = 1}, client, marks);
    server.begin({.refers = "b"});
    server.finish({.done = 1}, client, marks);
    EXPECT_EQ(client.name_of("__pgweir_40"), "");
}

TEST_F(held_by_server, marks_which_unnamed_statement_it_has) {
    server.begin_unnamed(client, "P1");
    EXPECT_EQ(marks.unnamed_count, 0U);
    server.finish({.done = 1}, client, marks);
    EXPECT_EQ(marks.unnamed_count, 1U);
    EXPECT_TRUE(server.unnamed_is_ours.assumed());
}

TEST_F(held_by_server, has_no_unnamed_statement_once_its_parse_failed) {
    server.begin_unnamed(client, "P1");
    server.finish({.failed = 1}, client, marks);
    EXPECT_TRUE(server.unnamed_is_ours.assumed());
    EXPECT_FALSE(client.has_unnamed());
}

TEST_F(held_by_server, has_another_unnamed_statement_where_its_parse_was_skipped) {
    server.begin_unnamed(client, "P1");
    server.finish({.skipped = 1}, client, marks);
    EXPECT_FALSE(server.unnamed_is_ours.assumed());
}

TEST_F(held_by_server, has_no_unnamed_statement_behind_a_query) {
    client.finish_unnamed(true, client.await_unnamed("P1"));
    server.begin({.drops_unnamed = true});
    server.finish({.failed = 1}, client, marks);
    EXPECT_FALSE(client.has_unnamed());
    EXPECT_TRUE(server.unnamed_is_ours.assumed());
}

TEST_F(held_by_server, keeps_the_unnamed_statement_when_a_query_is_skipped) {
    client.finish_unnamed(true, client.await_unnamed("P1"));
    server.begin({.drops_unnamed = true});
    server.finish({.skipped = 1}, client, marks);
    EXPECT_EQ(client.unnamed(), "P1");
}

// --- what a client may have

TEST(client_statements, may_have_so_many_names_that_follow_it) {
    statement_store store{0};
    const auto one = store.intern({}, "SELECT 1\0\0\0"sv);
    client_statements client;
    for (std::size_t i = 0; i < names_limit; ++i) {
        ASSERT_TRUE(client.has_room_for(one->parse.size())) << i;
        const auto name = "s" + std::to_string(i);
        auto& n = client.find_or_make(name);
        client.define(n, name, *one);
        n.what.set(one);
    }
    EXPECT_FALSE(client.has_room_for(one->parse.size()));
}

TEST(client_statements, may_have_so_many_bytes_of_texts_at_a_time) {
    statement_store store{0};
    const auto large = store.intern({}, std::string(statement_limit - 100, 'x') + "\0\0\0"s);
    client_statements client;
    auto& n = client.find_or_make("s");
    for (std::size_t bytes = 0; bytes < 3 * kept_limit; bytes += large->parse.size()) {
        ASSERT_TRUE(client.has_room_for(large->parse.size())) << bytes;  // one name after the other
        client.define(n, "s", *large);
        n.what.set(large);
    }
    std::size_t kept = 1;
    for (; client.has_room_for(large->parse.size()); ++kept) {
        const auto name = "t" + std::to_string(kept);
        auto& other = client.find_or_make(name);
        client.define(other, name, *large);
        other.what.set(large);
    }
    EXPECT_EQ(kept, kept_limit / large->parse.size());
}

// --- the texts of a pipeline

struct pipeline_of_unnamed : ::testing::Test {
    client_statements client;
    server_statements server;
    session_marks marks;

    pipeline_of_unnamed() {
        for (const auto* parse : {"P1", "Parse 2", "P3"}) {
            server.begin_unnamed(client, parse);
        }
    }
};

TEST_F(pipeline_of_unnamed, leaves_its_last_when_all_are_done) {
    server.finish({.done = 3}, client, marks);
    EXPECT_EQ(client.unnamed(), "P3");
    EXPECT_EQ(client.unnamed_count(), 3U);
}

TEST_F(pipeline_of_unnamed, leaves_the_last_that_was_done_so_far) {
    server.finish({.done = 1}, client, marks);
    EXPECT_EQ(client.unnamed(), "P1");
    server.finish({.done = 1}, client, marks);
    EXPECT_EQ(client.unnamed(), "Parse 2");
}

TEST_F(pipeline_of_unnamed, leaves_the_last_that_was_done_before_others_are_skipped) {
    server.finish({.done = 2, .skipped = 1}, client, marks);
    EXPECT_EQ(client.unnamed(), "Parse 2");
}

TEST_F(pipeline_of_unnamed, leaves_none_when_one_fails) {
    server.finish({.done = 1, .failed = 1, .skipped = 1}, client, marks);
    EXPECT_FALSE(client.has_unnamed());
}

TEST_F(pipeline_of_unnamed, goes_on_behind_some_that_were_answered) {
    server.finish({.done = 2}, client, marks);
    server.begin_unnamed(client, "Parse 4");
    server.finish({.done = 1}, client, marks);
    EXPECT_EQ(client.unnamed(), "P3");
    server.finish({.done = 1}, client, marks);
    EXPECT_EQ(client.unnamed(), "Parse 4");
}

TEST_F(pipeline_of_unnamed, leaves_nothing_to_the_next_client) {
    EXPECT_TRUE(server.abandon());
    client_statements next;
    server.begin_unnamed(next, "P5");
    server.finish({.done = 1}, next, marks);
    EXPECT_EQ(next.unnamed(), "P5");
}

}  // namespace
}  // namespace pgweir::protocol
