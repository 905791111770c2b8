// Makes a client's prepared statements work on whichever server serves it.
#pragma once

#include "pgweir/metrics/report.hpp"
#include "pgweir/protocol/frame.hpp"
#include "pgweir/protocol/ledger.hpp"
#include "pgweir/protocol/session_marks.hpp"
#include "pgweir/protocol/statement_state.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

namespace pgweir::protocol {

// A Parse up to this size is kept, to be sent to other servers too; a longer one streams through
// and ties its client to the server that has it.
inline constexpr std::size_t statement_limit = 48 * 1024;

// Bytes of our own that are sent between a client's; they stay in place until clear(). Fixed size,
// shared by all clients of a worker.
class byte_arena {
public:
    static constexpr std::size_t capacity = 16 * 1024;

    [[nodiscard]] bool has_room(std::size_t n) const noexcept { return capacity - used_ >= n; }
    [[nodiscard]] bool empty() const noexcept { return used_ == 0; }
    void clear() noexcept { used_ = 0; }
    // Appends to what was appended since mark(). REQUIRES: has_room(bytes.size()).
    void add(std::string_view bytes) noexcept;
    void add_be32(std::uint32_t v) noexcept;
    void add_byte(char c) noexcept { bytes_[used_++] = c; }
    [[nodiscard]] std::size_t mark() const noexcept { return used_; }
    [[nodiscard]] std::string_view since(std::size_t mark) const noexcept {
        return {bytes_.data() + mark, used_ - mark};
    }

private:
    std::array<char, capacity> bytes_;
    std::size_t used_ = 0;
};

// One link of a client to a server, in transaction and statement mode. Looks at each message that
// concerns prepared statements, and at simple queries, before it is passed on; records it in the
// ledger, with what it will change (server_statements). Decides only. Worker thread only.
//
// The rules: a name of the client never reaches the server, where the statement has a name of ours
// that all clients share. What the server lacks is parsed first, what is too much is closed. A
// Parse of what it has, and a Close, are answered by us in their turn (ledger entries that are not
// sent). Whatever fails at PostgreSQL is made to fail there, so that the error, and the state of
// the transaction, are its own. Where the effect of an earlier segment is not known yet, the
// message waits for it.
class statement_relay {
public:
    struct link {
        std::unique_ptr<client_statements>& client;  // made when first needed
        server_statements& server;
        statement_store& store;
        // See statement::scope; null: none. Not a copy: its count is shared by all workers.
        const std::shared_ptr<const void>* settings;
        std::uint64_t self;        // of the client; no other has ever had it
        std::size_t limit;         // named statements the server may hold; 0: none are shared
        metrics::traffic& counts;  // of statements: hits, repairs, parses, binds
        // The client may outlive the server: the ledger is told what each request may do to the
        // transaction.
        bool follows_transactions = false;
    };
    struct step {
        enum class kind : std::uint8_t {
            pass,      // as it is
            insert,    // send `bytes`, then look at the same message again
            replace,   // send `bytes` instead of the first `skip` bytes
            wait,      // ask the server to flush, and come again when replies have come
            full,      // the arena is: send what there is, clear it, come again
            too_long,  // a name is longer than anybody's: end the client
        };
        kind what = kind::pass;
        std::string_view bytes;  // stays until the arena is cleared, or the next begin()
        std::size_t skip = 0;
    };

    // A server serves the client from now on.
    statement_relay(const link& l, const session_marks& marks);

    // `head`: the message, or of a long one what there is of it (peek_size and more; all of a Parse
    // up to statement_limit). `status`: of the last ReadyForQuery. After pass and replace the
    // message is in `ledger`. REQUIRES: its type is one of P B D C E Q S F.
    [[nodiscard]] step look(std::string_view head,
                            const frame& f,
                            char status,
                            ledger& ledger,
                            session_marks& marks,
                            byte_arena& arena);

    // The usual case of look(): whole messages that pass as they are and need nothing else. Takes
    // as many off the front of `data` as there are, records them in the ledger, and returns their
    // size. For whatever comes then, look() has the rules.
    [[nodiscard]] std::size_t pass_plain(std::string_view data,
                                         ledger& ledger,
                                         session_marks& marks);

private:
    struct context;
    using named = client_statements::named;
    using maybe_step = std::optional<step>;

    step look_at(const context& c);
    [[nodiscard]] static bool is_void(const context& c) noexcept;
    static step raw(const context& c, request r);
    static step rename(const context& c,
                       std::size_t name_at,
                       std::string_view old_name,
                       std::string_view new_name);
    [[nodiscard]] bool has_foreign_unnamed(const session_marks& marks) const noexcept;
    void forget_foreign_unnamed(session_marks& marks);
    [[nodiscard]] bool drops_unnamed(std::string_view whole) const noexcept;
    step parse(const context& c);
    step parse_again(const context& c, std::string_view name);
    step parse_long(const context& c, std::string_view name);
    step parse_unnamed(const context& c);
    void note_unnamed(std::string_view head,
                      bool is_whole,
                      std::optional<std::string_view> text,
                      ledger& ledger,
                      session_marks& marks);
    [[nodiscard]] bool knows_unnamed() const noexcept;
    [[nodiscard]] bool begins_plainly(std::string_view head, session_marks& marks);
    [[nodiscard]] bool is_plain(const frame& f, std::string_view head) const noexcept;
    void pass(const frame& f, std::string_view head, ledger& ledger, session_marks& marks);
    step bind(const context& c);
    step describe(const context& c);
    step close(const context& c);
    step execute(const context& c);
    step query(const context& c);
    // `portal`: the one that a Bind makes; none for a Describe.
    using maybe_name = std::optional<std::string_view>;
    step refer(
        const context& c, request r, std::size_t name_at, std::string_view name, maybe_name portal);
    step refer_unnamed(const context& c, request r, maybe_name portal);
    foreseen<std::string>* bound_portal(const context& c,
                                        std::string_view portal,
                                        std::string_view target);
    step restore_unnamed(const context& c, std::string_view parse);
    maybe_step deallocate(const context& c, char type, std::string_view text, named*& target);
    maybe_step make_ready(const context& c, const statement_ptr& s);
    maybe_step make_room(const context& c);
    step close_shared(const context& c, server_statements::held& h);
    named& define(std::string_view name, const statement& what);
    void sent_reference(const context& c,
                        request r,
                        std::string_view remembered,
                        maybe_name portal = {},
                        std::string_view target = {});
    client_statements& mine();
    [[nodiscard]] named* find(std::string_view name) noexcept;
    [[nodiscard]] bool has_names() const noexcept {
        return link_.client != nullptr && !link_.client->empty();
    }
    [[nodiscard]] bool has_unnamed() const noexcept {
        return link_.client != nullptr && link_.client->has_unnamed();
    }
    bool must_wait(const context& c, const named* n);
    bool is_in_doubt(const context& c) noexcept;
    bool has_changed_session(const context& c) noexcept;
    bool note_text(std::string_view text) noexcept;
    void note_bound(bool deallocates, bool changes_parsing) noexcept;
    void note_bound_unnamed() noexcept;
    void note_run() noexcept;
    [[nodiscard]] transaction_control control_in(std::string_view head,
                                                 std::optional<std::string_view> text,
                                                 std::size_t at) const noexcept;
    void note_portal(std::string_view portal) noexcept;
    [[nodiscard]] transaction_control control_of_portal(std::string_view head) const noexcept;

    link link_;
    bool first_ = true;
    bool in_batch_ = false;  // the client has sent extended requests behind its last Sync
    bool fence_ = false;     // something under way may remove statements
    bool doubt_ = false;     // something under way may change what a text means, or be a COPY
    std::optional<std::uint64_t> unnamed_seen_in_;  // the segment that looked at its text last,
    bool unnamed_deallocates_ = false;              // and what it found
    bool unnamed_changes_ = false;                  // (that it may change what a text means)
    bool bound_deallocates_ = false;                // the same of any portal of this link
    bool bound_changes_ = false;
    // What these may do to the transaction: the unnamed statement, all that went to this server
    // under the client's own names, the one that was bound last, the unnamed portal, all others.
    transaction_control unnamed_control_ = transaction_control::none;
    std::optional<transaction_control> unshared_control_;
    transaction_control bound_control_ = transaction_control::none;
    transaction_control unnamed_portal_ = transaction_control::none;
    std::optional<transaction_control> named_portals_;
    std::string unnamed_target_;  // the name that running the unnamed statement deallocates
    // ... and running a portal, of those that were ever bound to such a statement on this link.
    std::map<std::string, foreseen<std::string>, std::less<>> portals_;
};

// Rewrites our names of statements in `message`, a whole ErrorResponse, to the client's. False,
// with `out` untouched, when there are none.
[[nodiscard]] bool translate_names(std::string_view message,
                                   const client_statements& client,
                                   std::string& out);

}  // namespace pgweir::protocol
