// What a client is told when its server is lost, by what was outstanding.
#include "pgweir/protocol/outage.hpp"

#include "pgweir/protocol/message_writer.hpp"
#include "protocol/failed_scene.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <ostream>
#include <random>
#include <string>
#include <string_view>
#include <vector>

namespace pgweir::protocol {
namespace {

using testing::words_of;
using control = transaction_control;

std::string error(std::string_view sqlstate) {
    std::string out;
    append_error(out, {.sqlstate = sqlstate, .message = "lost"});
    return out;
}

struct deaf : backend_listener {
    ledger::settlement heard;

    void on_parameter(std::string_view, std::string_view) override {}
    void on_error(const error_fields&, origin) override {}
    void on_settlement(const ledger::settlement& s) override {
        heard.done += s.done;
        heard.failed += s.failed;
        heard.skipped += s.skipped;
    }
    void on_deallocated() override {}
};

request request_of(char letter) {
    switch (letter) {
        case 'Q': return request::query;
        case 'F': return request::function_call;
        case 'P':
        case 'o': return request::parse;
        case 'B': return request::bind;
        case 'D': return request::describe_statement;
        case 'p': return request::describe_portal;
        case 'E': return request::execute;
        case 'C':
        case 'y': return request::close;
        case 'k': return request::known_parse;
        case 'l': return request::known_close;
        case 'c': return request::copy_end;
        default: return request::sync;
    }
}

control control_of_mark(char mark) {
    switch (mark) {
        case '(': return control::begins;
        case ')': return control::commits;
        case '<': return control::rolls_back;
        case '*': return control::mixed;
        case '?': return control::may_commit;
        default: return control::none;
    }
}

// A letter is a request: of these k and l are answered by us, o, y and s are for the pooler. A mark
// behind it is what it does to the transaction: ( begins it, ) commits, < rolls back, * several,
// ? may commit. Behind a colon are types of replies.
void play(std::string_view script, ledger& owed) {
    bool replies = false;
    for (std::size_t i = 0; i != script.size(); ++i) {
        const char c = script[i];
        if (c == ':' || c == ' ') {
            replies = c == ':';
        } else if (replies) {
            ASSERT_NE(owed.received(c), ledger::verdict::violation) << script << " at " << i;
        } else if (control_of_mark(c) == control::none) {
            const bool is_ours = c == 'o' || c == 'y' || c == 's';
            const auto mark = i + 1 == script.size() ? ' ' : script[i + 1];
            owed.sent(request_of(c), is_ours ? origin::pooler : origin::client, false,
                      control_of_mark(mark));
        }
    }
}

std::string answers(const outage& what, ledger& owed, outage_outcome& o, backend_listener& l) {
    const auto rolled_back = error("08006");
    const auto in_doubt = error("08007");
    std::string out;
    o = answer_outage(what, {.rolled_back = rolled_back, .in_doubt = in_doubt}, owed, l, out);
    return out;
}

struct scene {
    const char* name;
    char status;
    std::string_view script;
    std::string_view told;
    bool has_more = false;

    friend void PrintTo(const scene& s, std::ostream* out) { *out << s.script; }
};

class outage_of : public ::testing::TestWithParam<scene> {};

TEST_P(outage_of, tells_what_is_known) {
    const auto& s = GetParam();
    ledger owed;
    play(s.script, owed);
    deaf listener;
    outage_outcome o;
    auto told = words_of(answers({.status = s.status, .has_more = s.has_more}, owed, o, listener));
    told += o.is_block ? " block" : "";
    told += o.is_skipping ? " skipping" : "";
    told += o.is_untold ? " untold" : "";
    told += o.is_untold_in_doubt ? " in doubt" : "";
    EXPECT_EQ(told, s.told);
    EXPECT_FALSE(owed.owes_reply());
    EXPECT_EQ(o.in_doubt, [&] {
        std::size_t n = 0;
        for (auto at = told.find("08007"); at != std::string::npos;
             at = told.find("08007", at + 1)) {
            ++n;
        }
        return n;
    }());
}

constexpr auto name_of = [](const auto& s) { return s.param.name; };

INSTANTIATE_TEST_SUITE_P(
    without_a_block,
    outage_of,
    ::testing::Values(scene{"nothing", 'I', "", ""},
                      scene{"query", 'I', "Q", "08007 ZI"},
                      scene{"half_answered_query", 'I', "Q:TDDC", "08007 ZI"},
                      scene{"failed_query", 'I', "Q:TDE", "ZI"},
                      scene{"function_call", 'I', "F", "08007 ZI"},
                      scene{"batch", 'I', "PBpES", "08007 ZI"},
                      scene{"half_answered_batch", 'I', "PBpES:12TDD", "08007 ZI"},
                      scene{"batch_without_its_sync", 'I', "PBpE:12", "08007 skipping"},
                      scene{"batch_that_waits_to_go_on", 'I', "PBE:12C", " untold in doubt"},
                      scene{"batch_that_has_run_nothing_yet", 'I', "PB:12", " untold"},
                      scene{"failed_batch", 'I', "PBES:1E", "ZI"},
                      scene{"failed_batch_without_its_sync", 'I', "PBE:1E", " skipping"},
                      scene{"nothing_but_a_sync_to_answer", 'I', "PBES:12C", "08007 ZI"},
                      scene{"closed_behind_what_was_answered", 'I', "PBE:12C CS", "08007 ZI"},
                      scene{"prepared_behind_what_was_answered", 'I', "PBE:12C PS", "08007 ZI"},
                      scene{"described_behind_what_was_answered", 'I', "PBE:12C pS", "08007 ZI"},
                      scene{"closed_behind_a_part_of_the_rows", 'I', "PBE:12Ds CS", "08007 ZI"},
                      scene{"closed_behind_what_was_answered_without_its_sync", 'I', "PBE:12C C",
                            "08007 skipping"},
                      scene{"closed_behind_what_failed", 'I', "PBE:12E CS", "ZI"},
                      scene{"described_behind_a_batch_of_before", 'I', "PBES:12CZ PDS", "08006 ZI"},
                      scene{"failed_behind_what_was_answered", 'I', "PBEBES:12C2E", "ZI"},
                      scene{"described", 'I', "PDS", "08006 ZI"},
                      scene{"described_halfway", 'I', "PDS:1t", "08006 ZI"},
                      scene{"several", 'I', "QQPBESQ", "08007 ZI 08007 ZI 08007 ZI 08007 ZI"},
                      scene{"procedure_of_a_long_text", 'I', "Q?", "08007 ZI"},
                      scene{"stray_commit", 'I', "Q)", "08007 ZI"},
                      scene{"query_behind_a_batch", 'I', "PBEQ", "08007 skipping"},
                      scene{"copy_out", 'I', "Q:Hdd", "08007 ZI"},
                      scene{"copy_in", 'I', "Q:G", "08007 ZI"},
                      scene{"copy_in_that_was_ended", 'I', "Q:G c", "08007 ZI"},
                      scene{"copy_in_of_a_batch", 'I', "PBES:12G", "08007 skipping"},
                      scene{"copy_in_of_a_batch_that_was_ended", 'I', "PBES:12G cS", "08007 ZI"}),
    name_of);

INSTANTIATE_TEST_SUITE_P(
    in_a_block,
    outage_of,
    ::testing::Values(
        scene{"idle", 'T', "", " block untold"},
        scene{"query", 'T', "Q", "08006 ZE block"},
        scene{"batch", 'T', "PBpES:12TD", "08006 ZE block"},
        scene{"batch_without_its_sync", 'T', "PBE:1", "08006 block skipping"},
        scene{"batch_that_waits_to_go_on", 'T', "PBE:12C", " block untold"},
        scene{"several", 'T', "QQPBES", "08006 ZE 25P02 ZE 25P02 ZE block"},
        scene{"long_text", 'T', "Q?", "08007 ZE block"},
        scene{"commit", 'T', "Q)", "08007 ZI"},
        scene{"commit_with_its_tag", 'T', "Q):C", "08007 ZI"},
        scene{"commit_as_a_batch", 'T', "PBE)S:12", "08007 ZI"},
        scene{"commit_as_a_batch_without_its_sync", 'T', "PBE):1", "08007 skipping"},
        scene{"commit_that_was_answered", 'T', "PBE)S:12C", "08007 ZI"},
        scene{"closed_behind_a_commit_that_was_answered", 'T', "PBE):12C CS", "08007 ZI"},
        scene{"commit_that_was_answered_and_waits_to_go_on", 'T', "PBE):12C", " untold in doubt"},
        scene{"closed_behind_what_was_answered", 'T', "PBE:12C CS", "08006 ZE block"},
        scene{"query_behind_what_was_answered", 'T', "PBE:12C BES", "08006 ZE block"},
        scene{"failed_commit", 'T', "Q):E", "ZI"},
        scene{"commit_behind_a_query", 'T', "QQ)", "08007 ZE 08007 ZI"},
        scene{"commit_in_a_batch", 'T', "PBEBE)S", "08007 ZE block"},
        scene{"several_with_a_commit", 'T', "Q*", "08007 ZE block"},
        scene{"query_behind_a_commit", 'T', "Q)Q", "08007 ZI 08007 ZI"},
        scene{"rollback", 'T', "Q<", "ROLLBACK ZI"},
        scene{"rollback_with_its_tag", 'T', "Q<:C", "ZI"},
        scene{"rollback_as_a_batch", 'T', "PBpE<S", "1 2 n ROLLBACK ZI"},
        scene{"rollback_as_a_batch_halfway", 'T', "PBpE<S:12", "n ROLLBACK ZI"},
        scene{"rollback_by_name", 'T', "BE<S", "2 ROLLBACK ZI"},
        scene{"rollback_among_others", 'T', "DBE<S", "08006 ZI"},
        scene{"rollback_without_its_sync", 'T', "PBE<:12", "08006 skipping"},
        scene{"rollback_behind_a_query", 'T', "QQ<Q", "08006 ZE ROLLBACK ZI 08007 ZI"},
        scene{"failed_query", 'T', "Q:E", "ZE block"},
        scene{"commit_behind_a_failed_query", 'T', "QQ):E", "ZE ROLLBACK ZI"},
        scene{"failed_batch_without_its_sync", 'T', "PBE:E", " block skipping"},
        scene{"copy_in", 'T', "Q:G", "08006 ZE block"},
        scene{"next_block_behind_a_commit", 'T', "Q)Q(Q", "08007 ZI 08006 ZE 25P02 ZE block"}),
    name_of);

INSTANTIATE_TEST_SUITE_P(
    in_a_block_that_begins,
    outage_of,
    ::testing::Values(scene{"lone", 'I', "Q(", "08006 ZI"},
                      scene{"lone_as_a_batch", 'I', "PBE(S", "08006 ZI"},
                      scene{"lone_but_not_waited_for", 'I', "Q(", "08006 ZE block", true},
                      scene{"with_a_query", 'I', "Q(Q", "08006 ZE 25P02 ZE block"},
                      scene{"and_ends", 'I', "Q(QQ)", "08006 ZE 25P02 ZE 08007 ZI"},
                      scene{"in_its_first_batch", 'I', "PBE(PBES", "08006 ZE block"},
                      scene{"in_its_first_batch_and_was_answered", 'I', "PBE(PBES:12C",
                            "08006 ZE block"},
                      scene{"in_its_first_batch_and_was_answered_with_more", 'I', "PBE(PBES:12C12C",
                            "08006 ZE block"},
                      scene{"in_a_batch_that_waits_to_go_on", 'I', "PBE(:12C", " block untold"},
                      scene{"behind_something", 'I', "PBEBE(S", "08007 ZE block"},
                      scene{"in_a_string", 'I', "Q*", "08007 ZE block"},
                      scene{"in_a_batch_that_failed", 'I', "PBE(PBES:12CE", "ZE block"}),
    name_of);

INSTANTIATE_TEST_SUITE_P(
    in_a_failed_block,
    outage_of,
    ::testing::Values(
        scene{"idle", 'E', "", " block"},
        scene{"query", 'E', "Q", "25P02 ZE block"},
        scene{"commit", 'E', "Q)", "ROLLBACK ZI"},
        scene{"commit_as_a_batch", 'E', "PBE)S", "1 2 ROLLBACK ZI"},
        scene{"commit_as_a_batch_without_its_sync", 'E', "PBE)", "25P02 skipping"},
        scene{"commit_behind_what_may_revive_it", 'E', "QQ)", "25P02 ZE 08007 ZI"},
        scene{"commit_in_a_batch_behind_what_may_revive_it", 'E', "PBEPBE)S", "08007 ZE block"},
        scene{"commit_in_a_string", 'E', "Q*", "08007 ZE block"},
        scene{"commit_behind_what_failed_again", 'E', "QQ):E", "ZE ROLLBACK ZI"},
        scene{"commit_behind_what_runs_nothing", 'E', "PDSQ)", "25P02 ZE ROLLBACK ZI"},
        scene{"long_text", 'E', "Q?", "08007 ZE block"},
        scene{"query_behind_what_has_revived_it", 'E', "PBEBES:12C", "08006 ZE block"},
        scene{"commit_behind_what_has_revived_it", 'E', "PBEBE)S:12C", "08007 ZI"},
        scene{"rollback_behind_what_has_revived_it", 'E', "PBEBE<S:12C", "2 ROLLBACK ZI"},
        scene{"revived_in_a_batch_that_waits_to_go_on", 'E', "PBE:12C", " block untold"},
        scene{"rollback", 'E', "Q<", "ROLLBACK ZI"},
        scene{"rollback_and_a_query", 'E', "Q<Q", "ROLLBACK ZI 08007 ZI"}),
    name_of);

INSTANTIATE_TEST_SUITE_P(
    with_requests_of_ours,
    outage_of,
    ::testing::Values(scene{"known_parse", 'I', "kBES", "1 08007 ZI"},
                      scene{"known_parse_behind_what_is_lost", 'I', "PkBES", "08007 ZI"},
                      scene{"known_close", 'T', "lS", "3 08006 ZE block"},
                      scene{"missing_parse", 'I', "oBES", "08007 ZI"},
                      scene{"missing_parse_in_a_rollback", 'T', "oBE<S", "2 ROLLBACK ZI"},
                      scene{"foreign_unnamed_statement", 'I', "yQ", "08007 ZI"},
                      scene{"decoy", 'I', "osQ", "08007 ZI"}),
    name_of);

TEST(outage, settles_all_requests) {
    ledger owed;
    owed.sent(request::parse, origin::client, true);
    owed.sent(request::bind, origin::client, true);
    owed.sent(request::sync, origin::client);
    owed.sent(request::parse, origin::pooler, true);
    owed.sent(request::bind, origin::client, true);
    deaf listener;
    outage_outcome o;
    (void)answers({}, owed, o, listener);
    EXPECT_EQ(listener.heard.done, 1U);
    EXPECT_EQ(listener.heard.failed, 2U);
    EXPECT_EQ(listener.heard.skipped, 1U);
}

// A client follows the answers as it would those of a server: its own ledger takes each, and is
// owed nothing in the end.
class random_outage : public ::testing::TestWithParam<unsigned> {
protected:
    std::mt19937 random{GetParam()};

    std::size_t below(std::size_t n) {
        return std::uniform_int_distribution<std::size_t>{0, n - 1}(random);
    }
    template <class... T>
    auto one_of(T... all) {
        const std::array options{all...};
        return options[below(options.size())];
    }
    void send_something(ledger& owed) {
        const auto what =
            one_of(request::query, request::function_call, request::parse, request::bind,
                   request::describe_statement, request::describe_portal, request::execute,
                   request::execute, request::close, request::sync, request::sync,
                   request::known_parse, request::known_close);
        const auto runs = what == request::query || what == request::execute;
        owed.sent(what, origin::client, false,
                  runs ? one_of(control::none, control::begins, control::commits,
                                control::rolls_back, control::mixed, control::may_commit)
                       : control::none);
    }
};

TEST_P(random_outage, leaves_a_client_that_knows_where_it_is) {
    for (int round = 0; round != 500; ++round) {
        ledger owed;
        for (auto n = below(12); n != 0; --n) {
            send_something(owed);
            if (below(3) == 0) {
                const char type = one_of('1', '2', '3', 'n', 't', 'T', 'C', 'E', 'Z', 'D', 'I');
                auto tried = owed;
                if (tried.next_is_known() || tried.received(type) == ledger::verdict::violation) {
                    continue;
                }
                owed = tried;
            }
        }
        auto view = owed;
        deaf listener;
        outage_outcome o;
        const auto out = answers({.status = one_of('I', 'T', 'E'), .has_more = below(2) == 0}, owed,
                                 o, listener);
        for (std::string_view rest = out; !rest.empty();) {
            const auto size = read_frame(rest.data()).size;
            if (view.next_is_known()) {
                ASSERT_EQ(view.answer_known(), rest.substr(0, size));
            } else {
                ASSERT_NE(view.received(rest.front()), ledger::verdict::violation) << words_of(out);
            }
            rest.remove_prefix(size);
        }
        ASSERT_FALSE(view.owes_reply());
        ASSERT_EQ(view.is_skipping(), o.is_skipping);
        ASSERT_FALSE(o.is_skipping && o.is_untold);
        // The last status that it has read is the one that it is in.
        if (const auto ready = out.rfind(std::string_view{"Z\0\0\0\5", 5});
            ready != std::string::npos && !o.is_skipping) {
            ASSERT_EQ(out[ready + 5], o.is_block ? 'E' : 'I') << words_of(out);
        }
    }
}

INSTANTIATE_TEST_SUITE_P(seeds, random_outage, ::testing::Range(0U, 8U));

}  // namespace
}  // namespace pgweir::protocol
