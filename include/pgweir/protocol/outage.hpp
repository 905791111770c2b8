// A server was lost: what its client is told of the requests that it has not answered.
#pragma once

#include "pgweir/protocol/backend_stream.hpp"
#include "pgweir/protocol/ledger.hpp"

#include <cstddef>
#include <string>
#include <string_view>

namespace pgweir::protocol {

// Whole ErrorResponse messages. REQUIRES: their severity is ERROR, since the client goes on.
struct outage_errors {
    std::string_view rolled_back;  // nothing of it can have been committed
    std::string_view in_doubt;     // it may have been
};

// The server is gone, all that it sent has been passed on, and its last ReadyForQuery had this
// status.
struct outage {
    char status = 'I';
    // More bytes of the client are at hand: it did not wait for the answers to what it sent.
    bool has_more = false;
};

// What the client is in when it has read those answers.
struct outage_outcome {
    // A transaction block was lost, and the client is still in it: see failed_transaction.
    bool is_block = false;
    // Its batch has had its error, and the Sync of it was not sent yet.
    bool is_skipping = false;
    // There was nothing to answer, so nothing was said, but something was lost: a transaction block
    // in which the client was idle, or a batch up to here. The next request gets the error.
    bool is_untold = false;
    bool is_untold_in_doubt = false;  // ... and that may have been committed
    std::size_t in_doubt = 0;         // how many errors said so

    // Nothing is left of it.
    [[nodiscard]] bool is_over() const noexcept { return !is_block && !is_skipping && !is_untold; }
};

// Appends to `out` an answer to each request in `owed`, as if the server had given them: what is
// ours to answer, then for each segment (Query, FunctionCall, or a batch up to its Sync) an error
// and ReadyForQuery. `listener` hears of the settlements. Afterwards nothing is owed. Total.
//
// What was sent is not kept, so the errors follow from what each text may do to the transaction:
// - What has been run outside of a block is `in_doubt`, answered or not: a batch commits with its
//   Sync, a procedure whenever it likes.
// - In a block, up to what may end it: one error, `in_doubt` if a COMMIT may be among all that is
//   outstanding, else `rolled_back`. What is pipelined behind gets 25P02, a COMMIT `in_doubt`.
// - A lone ROLLBACK of it succeeds: there is nothing left to roll back. So does a lone COMMIT of a
//   block that has failed; but not behind something else that was sent to that block and may have
//   been ROLLBACK TO.
// The status is 'E' where a block may be open: a client that pipelines must not run the rest of a
// transaction as single statements. So also behind several statements in one string of which some
// control the transaction; but not behind a lone BEGIN that its client waited for.
outage_outcome answer_outage(const outage& what,
                             const outage_errors& errors,
                             ledger& owed,
                             backend_listener& listener,
                             std::string& out);

}  // namespace pgweir::protocol
