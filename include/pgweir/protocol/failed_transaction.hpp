// A failed transaction without a server: answers its client as PostgreSQL would until it ends.
#pragma once

#include "pgweir/protocol/statement_state.hpp"
#include "pgweir/protocol/transaction_end.hpp"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace pgweir::protocol {

// Appends PostgreSQL's error for a request in a failed transaction.
void append_aborted(std::string& out);
// Appends its CommandComplete for what has ended one.
void append_rolled_back(std::string& out);

// A client lost its server, and with it its transaction, but its connection goes on. Until it ends
// that transaction all its requests fail, as they do in PostgreSQL (postgres.c, the uses of
// IsAbortedTransactionBlockState()): one that knew nothing of the loss must not run the rest of its
// transaction as single statements on another server. Sans-io; total; keeps no bytes but names of
// portals, and looks only into messages up to hold_limit.
//
// It differs from PostgreSQL where that would need what was lost, or its parser:
// - What is no valid SQL, ROLLBACK TO, and a request for a portal or for the description of a
//   statement get 25P02 too. The savepoints are gone.
// - AND CHAIN fails with 0A000: nobody knows the modes of the transaction.
// - As long as the client has not been told of the loss, the first request that can fail gets the
//   error that says so. COMMIT does too, and ends the transaction; ROLLBACK needs no telling.
class failed_transaction {
public:
    // The prepared statements of the client; the empty name is the unnamed one.
    class statements {
    public:
        struct known {
            std::string_view text;  // empty: not kept, and so none that ends a transaction
            unsigned parameters = 0;
        };
        [[nodiscard]] virtual std::optional<known> find(std::string_view name) = 0;
        // `message`: a whole Parse of this name. False: it cannot be kept. REQUIRES: no such name.
        [[nodiscard]] virtual bool define(std::string_view name, std::string_view message) = 0;
        virtual void forget(std::string_view name) = 0;

    protected:
        ~statements() = default;
    };

    struct loss {
        // A transaction block was open. Otherwise what is lost is a batch of the extended
        // protocol, and the client is free again behind its Sync.
        bool is_block = true;
        // The batch under way has had its error, so `error` is empty: all up to its Sync is thrown
        // away.
        bool is_skipping = false;
        // So many bytes of a message that has been answered are still to come.
        std::uint32_t remain = 0;
        // The whole ErrorResponse that the client has not been told; empty when it has.
        std::string error = {};
    };
    explicit failed_transaction(loss what) noexcept;

    enum class event : std::uint8_t {
        more,  // all bytes are consumed
        held,  // the rest is an incomplete message: keep it and give it again with more
        // The transaction is over. What is due has been answered; what take_rest() returns, and
        // then the rest, is for a server: maybe the rest of a batch.
        left,
        terminate,  // the client said goodbye
        violation,  // see violation_text()
    };
    struct step {
        std::size_t consumed = 0;
        event what = event::more;
    };
    // Appends the answers to `out`. `data` starts where the last call's `consumed` ended.
    [[nodiscard]] step scan(std::string_view data, statements& known, std::string& out);

    // The Query that the client sent behind its ROLLBACK in one string; its reply has begun.
    [[nodiscard]] std::string take_rest() noexcept { return std::exchange(rest_, {}); }
    // Does the client know of the loss?
    [[nodiscard]] bool is_told() const noexcept { return error_.empty(); }

private:
    struct context;

    void answer(const context& c);
    void query(const context& c);
    void parse(const context& c);
    void bind(const context& c);
    void describe(const context& c);
    void execute(const context& c);
    void close(const context& c);
    void sync(const context& c);
    void ready(const context& c);
    void tell(const context& c, std::string_view sqlstate, std::string_view message);
    void fail(const context& c);
    void fail(const context& c, std::string_view sqlstate, std::string_view message);
    void refuse_chain(const context& c);
    void end_block() noexcept;
    [[nodiscard]] const transaction_verb* find_portal(std::string_view name) const noexcept;

    std::string error_;
    std::string rest_;
    std::vector<std::pair<std::string, transaction_verb>> portals_;
    std::uint32_t remain_;
    bool is_block_;
    bool skipping_;
    bool in_batch_ = false;      // the transaction ended within a batch: its Sync is still to come
    bool ready_is_due_ = false;  // behind `remain_`
    bool left_ = false;
};

// The statements of a client of a pool, as statement_relay knows them.
class lost_statements final : public failed_transaction::statements {
public:
    struct link {
        std::unique_ptr<client_statements>& client;  // made when first needed
        statement_store& store;
        const std::shared_ptr<const void>* settings;  // see statement_relay::link
        bool are_shared;  // false: a named statement lives no longer than its server is lent
    };
    explicit lost_statements(const link& l) noexcept : link_{l} {}

    [[nodiscard]] std::optional<known> find(std::string_view name) override;
    [[nodiscard]] bool define(std::string_view name, std::string_view message) override;
    void forget(std::string_view name) override;

private:
    link link_;
};

}  // namespace pgweir::protocol
