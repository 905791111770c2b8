// Who has which prepared statement.
#include "pgweir/protocol/statement_state.hpp"

#include <algorithm>
#include <cstring>
#include <utility>

namespace pgweir::protocol {
namespace {

// Eight bytes at a time.
bool is_ascii(std::string_view bytes) noexcept {
    std::uint64_t all = 0;
    for (; bytes.size() >= sizeof all; bytes.remove_prefix(sizeof all)) {
        std::uint64_t some = 0;
        std::memcpy(&some, bytes.data(), sizeof some);
        all |= some;
    }
    for (const char c : bytes) {
        all |= static_cast<unsigned char>(c);
    }
    return (all & 0x8080808080808080U) == 0;
}

}  // namespace

bool is_surely_read(std::string_view message) noexcept {
    if (message.size() <= header_size || !is_ascii(message.substr(header_size))) {
        return false;
    }
    if (message.front() == 'Q') {
        return message.find('\0', header_size) == message.size() - 1;
    }
    const auto text_end = message.find('\0', header_size + 1);
    const auto types_at = text_end + 1;
    return message[header_size] == '\0' && text_end != std::string_view::npos &&
           message.size() >= types_at + 2 &&
           message.size() ==
               types_at + 2 + std::size_t{4} * base::load_be16(message.data() + types_at);
}

// --- the client

client_statements::named* client_statements::find(std::string_view name) {
    const auto it = names_.find(significant(name));
    return it == names_.end() ? nullptr : &it->second;
}

client_statements::named& client_statements::find_or_make(std::string_view name) {
    const auto key = significant(name);
    auto it = names_.find(key);
    if (it == names_.end()) {
        it = names_.try_emplace(std::string{key}).first;
        it->second.key = &it->first;
    }
    return it->second;
}

void client_statements::tidy(named& n) {
    if (n.what.is_settled() && n.what.assumed() == nullptr) {
        names_.erase(names_.find(*n.key));
    }
}

void client_statements::forget_all() {
    for (auto it = names_.begin(); it != names_.end();) {
        it->second.what.set(nullptr);
        it = it->second.what.is_settled() ? names_.erase(it) : std::next(it);
    }
}

void client_statements::define(const named& n, std::string_view name, const statement& what) {
    constexpr std::size_t many = 1000;  // more are not compared, but taken for alike
    kept_bytes_ += what.parse.size();
    ambiguous_ = ambiguous_ || name.size() > n.key->size() || names_.size() > many ||
                 std::ranges::any_of(names_, [&](const auto& other) {
                     const auto& s = other.second.what.assumed();
                     return &other.second != &n && s != nullptr && s->id == what.id;
                 });
}

bool client_statements::has_room_for(std::size_t bytes) {
    if (names_.size() >= names_limit) {
        return false;
    }
    if (kept_bytes_ + bytes > kept_limit) {
        kept_bytes_ = 0;
        for (const auto& [name, n] : names_) {
            kept_bytes_ += n.what.assumed() == nullptr ? 0 : n.what.assumed()->parse.size();
        }
    }
    return kept_bytes_ + bytes <= kept_limit;
}

std::string client_statements::name_of(std::string_view shared) const {
    if (!blamed_.empty()) {
        return blamed_;
    }
    const auto it = std::ranges::find_if(names_, [shared](const auto& entry) {
        const auto& s = entry.second.what.assumed();
        return s != nullptr && s->name == shared;
    });
    return it == names_.end() ? std::string{} : it->first;
}

bool client_statements::is_tied() const noexcept {
    return has_tied_ && std::ranges::any_of(names_, [](const auto& entry) {
               const auto& s = entry.second.what.assumed();
               return s != nullptr && s->parse.empty();
           });
}

std::string_view client_statements::await_unnamed(std::string_view parse) noexcept {
    ++waiting_;
    // A long pipeline must not keep what only its last statement could need.
    if (parse.size() > hold_limit || waiting_bytes_ + parse.size() > 4 * hold_limit) {
        return {};
    }
    waiting_bytes_ += parse.size();
    return parse;
}

void client_statements::finish_unnamed(bool done, std::string_view kept) {
    skip_unnamed(kept);
    if (done) {
        ++unnamed_count_;
        unnamed_ = kept;
    } else {
        unnamed_.clear();
    }
}

void client_statements::skip_unnamed(std::string_view kept) noexcept {
    --waiting_;
    waiting_bytes_ -= kept.size();
}

// --- the server

server_statements::held& server_statements::use(const statement_ptr& s) {
    auto& h = known_[s.get()];
    if (h.what == nullptr) {
        h.what = s;
    } else {
        order_.erase(order_.iterator_to(h));
    }
    order_.push_front(h);
    return h;
}

server_statements::held* server_statements::find_victim(std::size_t limit) {
    if (there_ < limit) {
        return nullptr;
    }
    for (auto it = order_.rbegin(); it != order_.rend(); ++it) {
        // Not the one that has just been used: room is made for it.
        if (&*it != &order_.front() && it->there.assumed() && !it->there.must_wait(segment_)) {
            return &*it;
        }
    }
    return nullptr;
}

void server_statements::forget_all() {
    for (auto it = order_.begin(); it != order_.end();) {
        auto& h = *it++;
        there_ -= h.there.assumed() ? 1 : 0;
        h.there.set(false);
        there_ += h.there.assumed() ? 1 : 0;
        forget(h);
    }
}

bool server_statements::abandon() {
    const bool unknown = head_ != changes_.size();
    head_ = changes_.size();
    begin_anew_when_empty();
    if (unknown) {
        order_.clear();
        known_.clear();
        there_ = 0;
    }
    return unknown;
}

void server_statements::forget(held& h) {
    if (h.there.is_settled() && !h.there.assumed()) {
        order_.erase(order_.iterator_to(h));
        known_.erase(h.what.get());
    }
}

// The Parse messages kept are few: client_statements::await_unnamed().
void server_statements::begin_anew_when_empty() noexcept {
    if (head_ == changes_.size()) {
        changes_.clear();
        texts_.clear();
        head_ = texts_head_ = 0;
    }
}

// Keeps a pipeline that is never empty from growing these for ever, as in the ledger.
void server_statements::tidy() {
    if (head_ >= 1024 && head_ * 2 >= changes_.size()) {
        changes_.erase(changes_.begin(), changes_.begin() + static_cast<std::ptrdiff_t>(head_));
        head_ = 0;
    }
    if (texts_head_ >= 4 * hold_limit && texts_head_ * 2 >= texts_.size()) {
        texts_.erase(0, texts_head_);
        texts_head_ = 0;
    }
}

void server_statements::begin_unnamed(client_statements& client, std::string_view parse) {
    begin_anew_when_empty();
    const auto kept = client.await_unnamed(parse);
    unnamed_is_ours.begin(true, segment_);
    texts_ += kept;
    auto& c = changes_.emplace_back();
    c.parses_unnamed = true;
    c.unnamed_size = static_cast<std::uint32_t>(kept.size());
}

void server_statements::begin(change c) {
    if (c.server != nullptr) {
        there_ -= c.server->there.assumed() ? 1 : 0;
        there_ += c.is_there ? 1 : 0;
        c.server->there.begin(c.is_there, segment_);
    }
    if (c.name != nullptr) {
        c.name->what.begin(c.meaning, segment_);
    }
    if (c.portal != nullptr) {
        c.portal->begin(c.target, segment_);
    }
    if (c.restores_unnamed || c.drops_unnamed) {
        unnamed_is_ours.begin(true, segment_);
    }
    begin_anew_when_empty();
    changes_.push_back(std::move(c));
}

void server_statements::finish(const ledger::settlement& s,
                               client_statements& client,
                               session_marks& marks) {
    for (auto n = s.done; n != 0; --n) {
        finish_one(changes_[head_++], outcome::done, client, marks);
    }
    if (s.failed) {
        finish_one(changes_[head_++], s.unread ? outcome::unread : outcome::failed, client, marks);
    }
    for (auto n = s.skipped; n != 0; --n) {
        finish_one(changes_[head_++], outcome::skipped, client, marks);
    }
    tidy();
}

void server_statements::finish_unnamed(std::size_t size,
                                       outcome how,
                                       client_statements& client,
                                       session_marks& marks) {
    const bool done = how == outcome::done;
    const auto text = std::string_view{texts_}.substr(texts_head_, size);
    texts_head_ += size;
    if (how != outcome::skipped) {
        client.clear_blame();
    }
    // It drops the one that was there before it looks at the text.
    const bool keeps = how == outcome::skipped || (how == outcome::unread && !is_surely_read(text));
    unnamed_is_ours.finish(!keeps, true);
    if (keeps) {
        client.skip_unnamed(text);
    } else {
        client.finish_unnamed(done, text);
    }
    marks.unnamed_count = done ? client.unnamed_count() : marks.unnamed_count;
}

void server_statements::finish_one(change& c,
                                   outcome how,
                                   client_statements& client,
                                   session_marks& marks) {
    if (c.parses_unnamed) {
        return finish_unnamed(c.unnamed_size, how, client, marks);
    }
    if (how == outcome::done && c.deallocates) {
        // Without the tag of a DEALLOCATE the portal has been made anew by SQL, and ran that.
        how = marks.deallocated != 0 ? outcome::done : outcome::failed;
        marks.deallocated -= how == outcome::done ? 1 : 0;
    }
    const bool done = how == outcome::done;
    if (auto* h = c.server) {
        there_ -= h->there.assumed() ? 1 : 0;
        h->there.finish(done, c.is_there);
        there_ += h->there.assumed() ? 1 : 0;
        forget(*h);
    }
    if (auto* n = c.name) {
        n->what.finish(done, std::move(c.meaning));
        client.tidy(*n);
    }
    if (c.portal != nullptr) {
        c.portal->finish(done, std::move(c.target));
    }
    if (done) {
        client.clear_blame();
    } else if (how != outcome::skipped) {
        client.blame(std::move(c.refers));
    }
    if (c.restores_unnamed) {
        unnamed_is_ours.finish(done, true);
        if (done) {
            marks.unnamed_count = client.unnamed_count();
        }
    }
    if (c.drops_unnamed) {
        const bool keeps = how == outcome::skipped || (how == outcome::unread && !c.surely_read);
        unnamed_is_ours.finish(!keeps, true);
        if (!keeps) {
            client.drop_unnamed();
        }
    }
}

}  // namespace pgweir::protocol
