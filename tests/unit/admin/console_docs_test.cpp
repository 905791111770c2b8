// docs/console.md knows every verb, and SHOW HELP too.
#include "admin/console_dialogue.hpp"
#include "admin/verbs.hpp"

#include <gmock/gmock.h>

#include <fstream>
#include <sstream>

namespace pgweir::admin {
namespace {

using testing::HasSubstr;

std::string manual() {
    std::ifstream file{PGWEIR_SOURCE_DIR "/docs/console.md"};
    std::stringstream text;
    text << file.rdbuf();
    return text.str();
}

TEST(console_docs, name_every_verb) {
    const auto text = manual();
    for (const auto& v : verbs()) {
        EXPECT_THAT(text, HasSubstr(std::string{"`"} + v.usage + "`"));
    }
}

TEST(console_docs, name_every_column_that_is_ours) {
    const auto text = manual();
    for (const auto* name :
         {"sv_connecting", "sv_checking", "sv_cleaning", "sv_cancelling", "sv_moving", "sv_closing",
          "permit_state", "worker", "statement_hit_count", "statement_repair_count",
          "settings_change_count", "server_clean_count", "server_recovery_count",
          "server_move_count", "cancel_count"}) {
        EXPECT_THAT(text, HasSubstr(std::string{"`"} + name + "`"));
    }
}

TEST(console_docs, name_every_column_that_pgbouncer_has_no_like_of) {
    const auto text = manual();
    for (const auto* sql :
         {"SHOW CLUSTERS", "SHOW NODES", "SHOW FAILOVER_LOG", "SHOW AUTH_QUERY"}) {
        std::stringstream all{columns(first(console_client{}.send(query(sql)), 'T'))};
        for (std::string column; all >> column;) {
            EXPECT_THAT(text, HasSubstr("`" + column.substr(0, column.find(':')) + "`")) << sql;
        }
    }
}

TEST(console_docs, help_names_every_verb_that_works) {
    console_client c;
    const auto notice = first(c.send(query("SHOW HELP")), 'N');
    const std::string help{protocol::parse_error(notice.body).detail};
    for (const auto& v : verbs()) {
        if (!std::holds_alternative<not_supported>(v.how)) {
            EXPECT_THAT(help, HasSubstr(v.usage));
        }
    }
}

}  // namespace
}  // namespace pgweir::admin
