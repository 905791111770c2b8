// Who has which prepared statement: the names of a client, and what a server holds.
#pragma once

#include "pgweir/protocol/frame.hpp"
#include "pgweir/protocol/ledger.hpp"
#include "pgweir/protocol/session_marks.hpp"
#include "pgweir/protocol/statement.hpp"

#include <boost/intrusive/list.hpp>

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace pgweir::protocol {

// Something that requests under way are going to change. A *segment* ends with a Sync, Query or
// FunctionCall: after an error in a batch PostgreSQL skips all up to the next Sync, and so the rest
// of the segment at least. So within one segment what was asked for may be taken for done, since
// otherwise nothing behind it is done either; but the outcome of an earlier segment must be waited
// for.
template <class T>
class foreseen {
public:
    foreseen() = default;
    explicit foreseen(T now) : confirmed_{now}, assumed_{std::move(now)} {}

    // What it is once all that was sent has been done.
    [[nodiscard]] const T& assumed() const noexcept { return assumed_; }
    [[nodiscard]] bool is_settled() const noexcept { return under_way_ == 0; }
    // Does what holds in `segment` depend on the outcome of an earlier one?
    [[nodiscard]] bool must_wait(std::uint64_t segment) const noexcept {
        return under_way_ != 0 && segment_ != segment;
    }

    void begin(T next, std::uint64_t segment) {
        assumed_ = std::move(next);
        segment_ = segment;
        ++under_way_;
    }
    void finish(bool done, T next) {
        if (done) {
            confirmed_ = std::move(next);
        }
        if (--under_way_ == 0) {
            assumed_ = confirmed_;
        }
    }
    // It changed by other means, before all that is still under way.
    void set(T now) {
        confirmed_ = std::move(now);
        if (under_way_ == 0) {
            assumed_ = confirmed_;
        }
    }

private:
    T confirmed_{};
    T assumed_{};
    std::uint32_t under_way_ = 0;
    std::uint64_t segment_ = 0;
};

// A client may have so many names, and bytes of texts behind them, that follow it to any server;
// with more it stays with the server that it prepares them on.
inline constexpr std::size_t names_limit = 5'000;
inline constexpr std::size_t kept_limit = 32 * 1024 * 1024;

// What one client has prepared. Lives with the client. Worker thread only.
class client_statements {
public:
    struct named {
        foreseen<statement_ptr> what;  // null: not prepared
        const std::string* key = nullptr;
    };

    // Null when the client never used this name, or has closed it.
    [[nodiscard]] named* find(std::string_view name);
    [[nodiscard]] named& find_or_make(std::string_view name);
    // Frees the entry of a name that stands for nothing.
    void tidy(named& n);
    // DEALLOCATE ALL or DISCARD ALL was run.
    void forget_all();
    [[nodiscard]] bool empty() const noexcept { return names_.empty(); }
    [[nodiscard]] std::size_t size() const noexcept { return names_.size(); }
    // `n`, as `name`, is going to stand for `what`.
    void define(const named& n, std::string_view name, const statement& what);
    // Several names stand for one statement, or one is spelled in several ways: which of them a
    // request used must be remembered until it is answered, for an error that tells.
    [[nodiscard]] bool is_ambiguous() const noexcept { return ambiguous_; }
    // The request that failed used this name.
    void blame(std::string name) { blamed_ = std::move(name); }
    void clear_blame() noexcept { blamed_.clear(); }
    // The client's name for the statement that servers know as `shared`, in the error that has just
    // come; empty when there is none.
    [[nodiscard]] std::string name_of(std::string_view shared) const;
    // May the text of one more name, with its Parse message of so many bytes, be kept?
    [[nodiscard]] bool has_room_for(std::size_t bytes);
    // Names whose text is not kept: only one server knows them, so the client must not leave it.
    [[nodiscard]] bool is_tied() const noexcept;
    void tie() noexcept { has_tied_ = true; }

    // The unnamed statement, which PostgreSQL keeps until the next Parse of it or simple query, and
    // so beyond a transaction. Its whole Parse message; empty when there is none, or it was too
    // long to be kept.
    [[nodiscard]] std::string_view unnamed() const noexcept { return unnamed_; }
    // Which of all that this client has parsed it is.
    [[nodiscard]] std::uint64_t unnamed_count() const noexcept { return unnamed_count_; }
    [[nodiscard]] bool has_unnamed() const noexcept { return !unnamed_.empty() || waiting_ != 0; }
    // A Parse of it is under way. What of that is to be kept, and given to finish_unnamed() or
    // skip_unnamed(): all, or nothing when it is too long, or too much is under way already.
    [[nodiscard]] std::string_view await_unnamed(std::string_view parse) noexcept;
    // It was answered: done, or failed, which leaves none.
    void finish_unnamed(bool done, std::string_view kept);
    // It was skipped: what was there is there.
    void skip_unnamed(std::string_view kept) noexcept;
    // A simple query was run, or a Close of it.
    void drop_unnamed() noexcept { unnamed_.clear(); }

private:
    struct hash {
        using is_transparent = void;
        std::size_t operator()(std::string_view s) const noexcept {
            return std::hash<std::string_view>{}(s);
        }
    };
    std::unordered_map<std::string, named, hash, std::equal_to<>> names_;
    std::string blamed_;
    std::size_t kept_bytes_ = 0;  // of texts at most: those of names that are gone may be in it
    bool ambiguous_ = false;
    bool has_tied_ = false;  // has ever had a name whose text is not kept

    std::string unnamed_;
    std::uint64_t unnamed_count_ = 0;
    std::size_t waiting_ = 0;  // unnamed Parse messages under way, and the bytes kept of them
    std::size_t waiting_bytes_ = 0;
};

// Can PostgreSQL read this whole Query, or Parse of the unnamed statement, in any encoding? What it
// cannot read it refuses before it drops the unnamed statement that is there.
[[nodiscard]] bool is_surely_read(std::string_view message) noexcept;

// What one server holds, and what the requests under way on it are going to change, there and at
// the client it serves. Lives with the server. Worker thread only.
class server_statements {
public:
    struct held : boost::intrusive::list_base_hook<> {
        statement_ptr what;
        foreseen<bool> there{false};
        std::uint64_t taint = 0;  // the link that parsed it in a changed session; 0: none
    };

    server_statements() = default;
    server_statements(const server_statements&) = delete;
    server_statements& operator=(const server_statements&) = delete;
    ~server_statements() { order_.clear(); }

    // Moves it to the front of those used last.
    [[nodiscard]] held& use(const statement_ptr& s);
    // The one to close so that there is room for one more below `limit`; null when there is, or
    // when all are needed by what is under way.
    [[nodiscard]] held* find_victim(std::size_t limit);
    // All named statements of the server are gone.
    void forget_all();
    [[nodiscard]] std::size_t size() const noexcept { return there_; }
    // Calls `visit` with each that the server holds, once what was sent has been done.
    template <class Visitor>
    void for_each(Visitor visit) const {
        for (const auto& h : order_) {
            if (h.there.assumed()) {
                visit(*h.what);
            }
        }
    }

    // What changes when the request that carries it has been answered.
    struct change {
        held* server = nullptr;  // `there` becomes is_there
        bool is_there = false;
        bool deallocates = false;                  // by running DEALLOCATE
        client_statements::named* name = nullptr;  // becomes `meaning`
        statement_ptr meaning{};
        std::string refers{};  // the name of the client that it used, should it fail
        foreseen<std::string>* portal = nullptr;  // running it deallocates `target` of the client;
        std::string target{};                     // empty: none
        bool restores_unnamed = false;  // a Parse of ours: the client's is on this server again
        bool drops_unnamed = false;     // a simple query, or a Close of it
        bool surely_read = true;        // see is_surely_read(); of a simple query
        bool parses_unnamed = false;    // see begin_unnamed()
        std::uint32_t unnamed_size = 0;
    };
    // A request with ledger::tracked is sent and will bring this about.
    void begin(change c);
    // The same for a Parse of the unnamed statement, the whole message; of a long one, nothing.
    void begin_unnamed(client_statements& client, std::string_view parse);
    // Tracked requests were answered.
    void finish(const ledger::settlement& s, client_statements& client, session_marks& marks);
    // The client has left, and nobody follows what its requests do. True when that leaves unknown
    // what the server holds; all of it is forgotten then.
    [[nodiscard]] bool abandon();

    // Another client is served from now on, or the same one again.
    void begin_link() noexcept { ++link_; }
    // This link parses it: in a changed session it may mean something else than to those who share
    // it, so that it must not outlive this link.
    void note_parse(held& h, bool is_changed) const noexcept { h.taint = is_changed ? link_ : 0; }
    [[nodiscard]] bool is_stale(const held& h) const noexcept {
        return h.taint != 0 && h.taint != link_;
    }

    [[nodiscard]] std::uint64_t segment() const noexcept { return segment_; }
    void end_segment() noexcept { ++segment_; }
    // Does the server's unnamed statement equal the client's? Set when a client comes.
    foreseen<bool> unnamed_is_ours{false};

private:
    // `unread`: failed, perhaps before it did anything.
    enum class outcome : std::uint8_t { done, failed, unread, skipped };
    void forget(held& h);
    void finish_unnamed(std::size_t size,
                        outcome how,
                        client_statements& client,
                        session_marks& marks);
    void finish_one(change& c, outcome how, client_statements& client, session_marks& marks);

    void begin_anew_when_empty() noexcept;
    void tidy();

    std::unordered_map<const statement*, held> known_;
    boost::intrusive::list<held> order_;  // used last first
    std::size_t there_ = 0;               // of those known, as assumed

    std::vector<change> changes_;
    std::size_t head_ = 0;
    std::string texts_;  // Parse messages of the unnamed statement in changes_, in their order
    std::size_t texts_head_ = 0;
    std::uint64_t segment_ = 0;
    std::uint64_t link_ = 0;
};

}  // namespace pgweir::protocol
