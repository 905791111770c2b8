// Reading one row of two columns.
#include "lookup/lookup_answer.hpp"

#include "pgweir/auth/scram_client.hpp"
#include "pgweir/auth/scram_keys.hpp"
#include "pgweir/auth/secret_kind.hpp"

#include <string_view>
#include <utility>

namespace pgweir::lookup {
namespace {

constexpr std::size_t column_count = 2;

std::variant<found_secret, lookup_failure> read_rows(const std::string& user,
                                                     const watch::batch_result& answer) {
    const auto refuse = [](std::string text) {
        return lookup_failure{{}, "auth_query " + std::move(text), false};
    };
    if (answer.results.size() != 1) {
        return refuse("is not one statement");
    }
    const auto& rows = answer.results.front();
    if (rows.empty()) {
        return found_secret{};
    }
    const auto& row = rows.front();
    if (row.size() != column_count) {
        return refuse("must return two columns, the user and its password, and returns " +
                      std::to_string(row.size()));
    }
    if (rows.size() > 1) {
        return refuse("must return one row, and returned several for one user");
    }
    if (row[0] != user) {
        return refuse("must return the user that was asked for in its first column");
    }
    const auto& secret = row[1];
    if (!secret) {
        return found_secret{base::secret{}};
    }
    if (secret->size() > watch::max_cell_size) {
        return refuse("returned a password of more than " + std::to_string(watch::max_cell_size) +
                      " bytes");
    }
    // Anything else would be taken for a password in plain text: also "********", which is what
    // pg_user has for everybody.
    switch (auth::kind_of(*secret)) {
        case auth::secret_kind::none: return found_secret{base::secret{}};
        case auth::secret_kind::md5: return found_secret{base::secret{*secret}};
        case auth::secret_kind::plain: break;
        case auth::secret_kind::scram:
            // Whoever may change his own password chooses how much it costs to check it.
            if (auth::scram_verifier::parse(*secret)->iterations >
                auth::scram_client::max_iterations) {
                return refuse("returned a SCRAM verifier of more than " +
                              std::to_string(auth::scram_client::max_iterations) + " iterations");
            }
            return found_secret{base::secret{*secret}};
    }
    return refuse(
        "must return in its second column what pg_authid.rolpassword holds: a SCRAM "
        "verifier or an md5 hash");
}

}  // namespace

std::variant<found_secret, lookup_failure> read_lookup(const std::string& user,
                                                       watch::batch_result& answer) {
    if (answer.failed && answer.failed->sqlstate == "22021") {
        return found_secret{};  // the name is no text in the server's encoding, so nobody has it
    }
    auto out = answer.failed
                   ? std::variant<found_secret, lookup_failure>{lookup_failure{
                         answer.failed->sqlstate, "auth_query failed: " + answer.failed->text,
                         may_pass(answer.failed->sqlstate)}}
                   : read_rows(user, answer);
    for (auto& rows : answer.results) {
        for (auto& row : rows) {
            for (auto& cell : row) {
                if (cell) {
                    base::wipe(cell->data(), cell->size());
                }
            }
        }
    }
    return out;
}

// Appendix A of PostgreSQL's documentation: trouble with the connection or the server, a
// transaction that lost against others, and a statement that was cancelled.
bool may_pass(const std::string& sqlstate) noexcept {
    const std::string_view kind = std::string_view{sqlstate}.substr(0, 2);
    return kind.empty() || kind == "08" || kind == "40" || kind == "53" || kind == "55" ||
           kind == "57" || kind == "58" || kind == "XX";
}

}  // namespace pgweir::lookup
