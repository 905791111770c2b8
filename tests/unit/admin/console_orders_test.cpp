// What operators order is read exactly, passed on, and answered by its outcome.
#include "admin/console_dialogue.hpp"

#include <gmock/gmock.h>

#include <chrono>
#include <string>
#include <string_view>

namespace pgweir::admin {
namespace {

using testing::HasSubstr;
using verb = session::console_command::verb;
using namespace std::chrono_literals;

struct ordered {
    std::string_view sql;
    verb what;
    std::string_view name = {};
    std::string_view node = {};
    std::chrono::milliseconds timeout{0};
};

TEST(console_orders, are_read_with_their_names) {
    const ordered all[] = {
        {"PAUSE", verb::pause},
        {"pause Shop", verb::pause, "shop"},
        {"PAUSE \"Shop\";", verb::pause, "Shop"},
        {"PAUSE 'Shop'", verb::pause, "Shop"},
        {"PAUSE shop-2024-x", verb::pause, "shop-2024-x"},
        {"RESUME", verb::resume},
        {"RESUME shop", verb::resume, "shop"},
        {"RECONNECT", verb::reconnect},
        {"RECONNECT shop", verb::reconnect, "shop"},
        {"SWITCHOVER", verb::switchover},
        {"SWITCHOVER shop", verb::switchover, "shop"},
        {"SWITCHOVER TIMEOUT 500ms", verb::switchover, "", "", 500ms},
        {"SWITCHOVER shop TIMEOUT 30s", verb::switchover, "shop", "", 30s},
        {"SWITCHOVER shop TIMEOUT '2m'", verb::switchover, "shop", "", 2min},
        {"SWITCHOVER \"timeout\" TIMEOUT 1h", verb::switchover, "timeout", "", 1h},
        {"RECHECK", verb::recheck},
        {"RECHECK main", verb::recheck, "main"},
        {"FORCE PRIMARY n1", verb::force_primary, "", "n1"},
        {"FORCE PRIMARY n1 IN main", verb::force_primary, "main", "n1"},
        {"FORCE PRIMARY main.n1", verb::force_primary, "main", "n1"},
        {"FORCE PRIMARY main.pg-1", verb::force_primary, "main", "pg-1"},
        {"FORCE PRIMARY my-main.pg-1", verb::force_primary, "my-main", "pg-1"},
        {"FORCE PRIMARY \"Main\".\"N1\"", verb::force_primary, "Main", "N1"},
        {"FORCE PRIMARY main.\"N1\"", verb::force_primary, "main", "N1"},
        {"FORCE PRIMARY \"Main\".n1", verb::force_primary, "Main", "n1"},
        {"FORCE PRIMARY \"main.n1\"", verb::force_primary, "", "main.n1"},
        {"FORCE PRIMARY pg.example IN main", verb::force_primary, "main", "pg.example"},
        {"FENCE pg-1", verb::fence, "", "pg-1"},
        {"FENCE n1 IN main", verb::fence, "main", "n1"},
        {"UNFENCE n1 IN \"Main\"", verb::unfence, "Main", "n1"},
        {"FORGET CLUSTER", verb::forget_cluster},
        {"FORGET CLUSTER main", verb::forget_cluster, "main"},
    };
    for (const auto& o : all) {
        console_client c;
        EXPECT_EQ(types(c.send(query(o.sql))), "CZ") << o.sql;
        ASSERT_EQ(c.commands.size(), 1U) << o.sql;
        EXPECT_EQ(c.commands[0].what, o.what) << o.sql;
        EXPECT_EQ(c.commands[0].name, o.name) << o.sql;
        EXPECT_EQ(c.commands[0].node, o.node) << o.sql;
        EXPECT_EQ(c.commands[0].timeout, o.timeout) << o.sql;
    }
}

TEST(console_orders, are_refused_with_other_arguments) {
    for (const auto* sql : {"PAUSE a b",
                            "PAUSE ,",
                            "PAUSE a,b",
                            "PAUSE a-",
                            "PAUSE -a",
                            "PAUSE \"\"",
                            "RESUME a b",
                            "RECONNECT a b",
                            "SWITCHOVER a b",
                            "SWITCHOVER TIMEOUT",
                            "SWITCHOVER TIMEOUT 30",
                            "SWITCHOVER TIMEOUT 0s",
                            "SWITCHOVER TIMEOUT -1s",
                            "SWITCHOVER TIMEOUT 30 s",
                            "SWITCHOVER TIMEOUT 25h",
                            "SWITCHOVER TIMEOUT 99999999999999999999s",
                            "SWITCHOVER TIMEOUT s",
                            "SWITCHOVER TIMEOUT 30sec",
                            "SWITCHOVER a TIMEOUT 30s b",
                            "RECHECK a b",
                            "FORCE PRIMARY",
                            "FORCE PRIMARY a b",
                            "FORCE PRIMARY a IN",
                            "FORCE PRIMARY a IN b c",
                            "FORCE PRIMARY a.",
                            "FORCE PRIMARY \"\"",
                            "FORCE PRIMARY a IN \"\"",
                            "FORCE PRIMARY a.b c",
                            "FENCE",
                            "UNFENCE",
                            "FORGET CLUSTER a b"}) {
        console_client c;
        const auto error = first(c.send(query(sql)), 'E');
        const auto fields = protocol::parse_error(error.body);
        EXPECT_EQ(fields.sqlstate, "42601") << sql;
        EXPECT_THAT(std::string{fields.hint}, HasSubstr("Usage: ")) << sql;
        EXPECT_TRUE(c.commands.empty()) << sql;
    }
}

TEST(console_orders, need_both_of_their_words) {
    for (const auto* sql : {"FORCE", "FORCE n1", "FORGET", "FORGET main"}) {
        console_client c;
        EXPECT_EQ(sqlstate(c.send(query(sql))), "42601") << sql;
    }
}

TEST(console_orders, are_answered_with_their_tag) {
    for (const auto& [sql, tag] : {std::pair{"PAUSE", "PAUSE"},
                                   {"FORCE PRIMARY n1", "FORCE PRIMARY"},
                                   {"FORGET CLUSTER", "FORGET CLUSTER"},
                                   {"RECHECK main", "RECHECK"}}) {
        console_client c;
        EXPECT_EQ(first(c.send(query(sql)), 'C').body, std::string{tag} + '\0');
    }
}

TEST(console_orders, wait_for_their_outcome) {
    console_client c;
    std::string out;
    const auto o = c.session->on_bytes(query("PAUSE shop"), out);
    EXPECT_EQ(o.what, local_outcome::kind::wait_for_command);
    EXPECT_EQ(o.command.name, "shop");
    EXPECT_EQ(out, "");
}

TEST(console_orders, tell_what_was_found_before_they_end) {
    console_client c;
    c.carried_out.notices = {"drained in 12 ms", "held 3 clients"};
    const auto replies = c.send(query("SWITCHOVER shop"));
    EXPECT_EQ(types(replies), "NNCZ");
    EXPECT_EQ(protocol::parse_error(replies[0].body).message, "drained in 12 ms");
}

TEST(console_orders, that_fail_say_why_and_end_the_query_they_are_in) {
    console_client c;
    c.carried_out.sqlstate = "3D000";
    c.carried_out.message = "no such database: shop";
    c.carried_out.hint = "SHOW DATABASES";
    const auto replies = c.send(query("PAUSE shop; SHOW VERSION"));
    EXPECT_EQ(types(replies), "EZ");
    const auto error = first(replies, 'E');
    const auto fields = protocol::parse_error(error.body);
    EXPECT_EQ(fields.sqlstate, "3D000");
    EXPECT_EQ(fields.message, "no such database: shop");
    EXPECT_EQ(fields.hint, "SHOW DATABASES");
}

TEST(console_orders, are_carried_out_one_after_the_other) {
    console_client c;
    EXPECT_EQ(types(c.send(query("PAUSE a; RESUME a") + query("RECHECK"))), "CCZCZ");
    EXPECT_EQ(c.commands.size(), 3U);
}

TEST(console_orders, work_in_the_extended_protocol) {
    console_client c;
    EXPECT_EQ(types(c.send(parse("", "FENCE n1") + bind_to("", "") + describe('P', "") +
                           execute("") + sync())),
              "12nCZ");
    ASSERT_EQ(c.commands.size(), 1U);
    EXPECT_EQ(c.commands[0].node, "n1");
}

}  // namespace
}  // namespace pgweir::admin
