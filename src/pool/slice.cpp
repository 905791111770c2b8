// One worker's part of a pool.
#include "pgweir/pool/slice.hpp"

#include "pgweir/base/log.hpp"
#include "pgweir/pool/gate.hpp"

#include <algorithm>
#include <random>
#include <set>
#include <string_view>

namespace pgweir::pool {
namespace {

using state = metrics::server_state;

// A waiter of another worker that is older than ours by this much gets the server: less would move
// sockets back and forth for nothing.
constexpr auto hand_over_slack = std::chrono::milliseconds{2};
constexpr auto waiting_tick = std::chrono::milliseconds{50};
constexpr auto calm_tick = std::chrono::seconds{1};
constexpr std::chrono::milliseconds first_retry{10};
constexpr std::chrono::milliseconds longest_retry{1'000};

std::int64_t stamp(base::time_point t) noexcept { return t.time_since_epoch().count(); }

// Does this state mean that the server is logged in and stays?
bool is_live(state s) noexcept { return s != state::connecting && s != state::closing; }

// True for as long as this lives, whatever is thrown meanwhile.
class flag_set {
public:
    explicit flag_set(bool& flag) noexcept : flag_{flag} { flag_ = true; }
    flag_set(const flag_set&) = delete;
    flag_set& operator=(const flag_set&) = delete;
    ~flag_set() { flag_ = false; }

private:
    bool& flag_;
};

metrics::statement_row statement_row_of(const protocol::statement& s,
                                        const std::string& database,
                                        const std::string& user) {
    constexpr std::size_t shown = 1024;
    return {.database = database,
            .user = user,
            .name = s.name,
            .query = std::string{s.text().substr(0, shown)},
            .parameter_types = s.parameter_types()};
}

bool has_settings(const server& s, const settings* wanted) noexcept {
    return s.applied() == wanted || (s.applied() == nullptr && wanted->values.empty());
}

}  // namespace

void waiter::on_unavailable(const unavailable& why) {
    on_refused({why.sqlstate, why.message, why.detail, why.hint});
}

void waiter::withdraw() noexcept {
    if (held_) {
        origin_->on_withdrawn(*this);
    }
    if (auto* s = std::exchange(preparing_, nullptr)) {
        s->forget_waiter();
        queue_ = nullptr;
    }
    if (auto* q = queue_) {
        q->dequeue(*this);
        q->publish();
    }
}

slice::slice(slices& home, shelf_ptr s)
    : home_{home},
      shelf_{std::move(s)},
      traffic_{&home.traffic_of(shelf_->key.database)},
      statements_{home.statements_of(shelf_->key)},
      guarded_{!shelf_->key.node.empty()},
      clustered_{guarded_} {}

slice::~slice() {
    while (!waiters_.empty()) {
        dequeue(waiters_.front());
    }
    while (!dialers_.empty()) {
        dequeue(dialers_.front());
    }
    while (!members_.empty()) {
        delete &members_.front();
    }
    publish();
}

base::time_point slice::now() const noexcept { return home_.loop().now(); }

bool slice::is_shared() const noexcept { return home_.worker_count() > 1; }

void slice::configure(const config::snapshot& snapshot) {
    const auto& key = shelf_->key;
    const auto* database = snapshot.find_database(key.database);
    const bool forced = database != nullptr && !database->user.empty();
    const auto* place =
        database == nullptr ? nullptr : home_.find_node(database->cluster, key.node);
    if (database == nullptr || forced != key.role.empty() ||
        database->cluster.empty() == clustered_ || (clustered_ && place == nullptr)) {
        target_ = nullptr;
        if (database == nullptr || forced != key.role.empty()) {
            identity_ = {};  // nobody will log in again
        }
        go_by(cluster::no_lease);
        close_idle();
        refuse_all(removed());
        return;
    }
    // Clients of a forced user share the pool, so what is said of one of them does not shape it.
    const auto* user = forced ? nullptr : snapshot.find_user(key.role);
    pool_ = config::effective_pool(*database, user);
    timeouts_ = config::effective_timeouts(*database, user);
    shelf_->home().open(key, pool_, *database,
                        snapshot.find_user(forced ? database->user : key.role));
    configured_minimum_ = pool_.min_size;
    if (clustered_) {
        board_ = home_.sight_of(database->cluster).board;
        if (link_ != place->link) {
            // Of another cluster, or a node that has moved, or only has the name of one that has
            // left: what we were allowed there says nothing of this one. on_view() follows.
            go_by(cluster::no_lease);
            primary_ = gives_up_ = finishes_ = cut_ = false;
            link_ = place->link;
        }
        standby_minimum_ = snapshot.clusters.at(database->cluster).min_standby_servers;
        set_minimum();
    }
    auto next = make_target(snapshot, *database, key.database, key.role, place);
    const bool moved = target_ == nullptr || !target_->is_same_server(*next);
    if (moved && target_ != nullptr) {
        shelf_->welcomes.clear();
    }
    target_ = std::move(next);
    if (!identity_.is_of(target_->identity)) {
        identity_ = home_.all().keys.hold(target_->identity);
    }
    if (moved) {
        shelf_->failures = 0;
        shelf_->retry_at = 0;
        abandon_connects();
    }
    if (clustered_) {
        revoke_moved();
    }
    retire_old();
    want_servers();
    arm();
}

// --- the role of the node

void slice::on_view() {
    const auto* database = home_.snapshot().find_database(shelf_->key.database);
    if (!clustered_ || database == nullptr) {
        return;
    }
    const auto& seen = home_.sight_of(database->cluster);
    const auto* place = home_.find_node(database->cluster, shelf_->key.node);
    const bool was_removed = is_removed();
    if (place == nullptr || was_removed || place->host != target_->host ||
        place->port != target_->port || place->address != target_->address ||
        place->link != link_) {
        configure(home_.snapshot());
    }
    if (place == nullptr || is_removed()) {
        cut_ = true;
        gives_up_ = finishes_ = false;
        go_by(cluster::no_lease);
        return revoke_all();
    }
    const auto index = static_cast<std::size_t>(place - seen.view->nodes.data());
    const auto& view = seen.view->view;
    const auto& now_is = view.nodes[index];
    const bool was_cut = std::exchange(cut_, now_is.cut);
    const bool was_primary = primary_;
    primary_ = view.primary == index;
    // Silence tells nothing of its role.
    const bool is_heard =
        now_is.state != cluster::node_state::suspect && now_is.state != cluster::node_state::down;
    standby_ = is_heard ? now_is.state == cluster::node_state::standby : standby_;
    go_by(cluster::no_lease);
    // A switchover holds what begins on the node that still is the primary, not what is open there.
    gives_up_ = view.switchover_until != cluster::no_time && view.granted == index;
    finishes_ = gives_up_ && view.why == cluster::cause::switchover &&
                now_is.state == cluster::node_state::primary;
    if (primary_) {
        go_by(board_->primary.word());
        stamp_ = cluster::stamp_of(view.epoch, index);
    } else if (now_is.reads != cluster::read_quality::none && !cut_) {
        go_by(link_->reads);
        stamp_ = link_->reads.load().stamp();
    }
    if (was_primary != primary_) {
        set_minimum();
    }
    if (cut_) {
        if (!was_cut) {
            shelf_->failures = 0;
            shelf_->retry_at = 0;
        }
        return revoke_all();
    }
    if (was_cut || was_primary != primary_) {
        // Whoever could not be reached in another role may be reached in this one.
        shelf_->failures = 0;
        shelf_->retry_at = 0;
    }
    tell_standing();
    want_servers();
    dispatch();
    arm();
}

// What begins from now on needs this lease, made out to stamp_.
void slice::go_by(const cluster::shared_lease& word) noexcept {
    word_ = &word;
    open_word_ = paused_ ? &cluster::no_lease : word_;
}

void slice::tell_standing() {
    standing_awaited_ = false;
    std::vector<server*> lent;
    for (auto& s : members_) {
        if (s.state() == state::active) {
            lent.push_back(&s);
        }
    }
    for (auto* s : lent) {
        s->tell_standing();
    }
}

void slice::await_standing() {
    standing_awaited_ = true;
    arm();
}

// Everything that is connected to the node ends at once. Nothing is said to it, not even goodbye.
void slice::revoke_all() {
    revoke_if([](const server&) { return true; });
}

// The node is another server than the one that these are connected to, and what was granted to that
// is over: also for who has one lent.
void slice::revoke_moved() {
    revoke_if([this](const server& s) { return !s.where().is_same_place(*target_); });
}

template <class Predicate>
void slice::revoke_if(Predicate must_end) {
    std::vector<server*> all;
    for (auto& s : members_) {
        if (s.state() != state::closing && must_end(s)) {
            all.push_back(&s);
        }
    }
    for (auto* s : all) {
        count_fenced();
        s->revoke();
    }
    publish();
}

void slice::set_minimum() {
    pool_.min_size = primary_
                         ? configured_minimum_
                         : std::max(configured_minimum_, std::min(standby_minimum_, pool_.size));
    shelf_->home().set_minimum(*shelf_, pool_.min_size);
}

void slice::evacuate(const gate& of, waiter_list& to) noexcept {
    for (auto it = waiters_.begin(); it != waiters_.end();) {
        auto& w = *it++;
        if (w.origin_ == &of) {
            dequeue(w);
            to.push_back(w);
        }
    }
    // Those whose server is being made ready wait for it; if it breaks they come back.
    publish();
}

void slice::absorb(waiter_list& from) {
    const auto older = [](const waiter& a, const waiter& b) { return a.since_ < b.since_; };
    for (auto& w : from) {
        w.queue_ = this;
        ++waiting_count_;
    }
    waiters_.merge(from, older);
    publish();
    dispatch();
    want_servers();
    arm();
}

void slice::set_paused(bool paused) {
    paused_ = paused;
    guarded_ = clustered_ || paused_;
    go_by(*word_);
    if (paused_) {
        return close_idle();
    }
    want_servers();
    dispatch();
    arm();
}

void slice::reconnect() {
    // One made in this very turn is new enough.
    reconnect_since_ = now();
    retire_old();
    want_servers();
}

unsigned slice::load() const noexcept {
    return states_[static_cast<std::size_t>(state::active)] + waiting_count_ + preparing_;
}

bool slice::is_busy() const noexcept {
    for (const auto& s : members_) {
        switch (s.state()) {
            case state::idle:
            case state::closing:
            case state::connecting: break;
            // Between two transactions of a session nothing is lost but the session.
            case state::active:
                if (s.is_at_work()) {
                    return true;
                }
                break;
            default: return true;
        }
    }
    return false;
}

void slice::note_reply(base::time_point asked) noexcept {
    if (link_ != nullptr) {
        link_->note_reply(asked);
    }
}

void slice::smell(cluster::smell what) const {
    if (board_ != nullptr && board_->smelled) {
        board_->smelled(shelf_->key.node, what, now());
    }
}

void slice::note_break(cluster::smell what) const {
    if (primary_ && board_->primary.doubt(stamp_, home_.loop().read_clock())) {
        board_->counts.doubts.fetch_add(1, std::memory_order_relaxed);
    }
    smell(what);
}

void slice::count_fenced() noexcept {
    if (board_ != nullptr) {
        board_->counts.fenced_closed.fetch_add(1, std::memory_order_relaxed);
    }
}

// Logins at a server that is no longer the configured one would only keep new ones waiting.
void slice::abandon_connects() {
    std::vector<server*> old;
    for (auto& s : members_) {
        if (s.state() == state::connecting && !s.where().is_same_server(*target_)) {
            old.push_back(&s);
        }
    }
    for (auto* s : old) {
        s->close(server::ending::at_once);
    }
}

// --- clients

// The server that acquire() would lend at once if it may; null when somebody must wait.
server* slice::ready(const settings* wanted) noexcept {
    if (!waiters_.empty() || idle_.empty()) {
        return nullptr;
    }
    auto* s = pick(wanted);
    const bool fresh = now() - s->proven() < pool_.server_check_delay;
    return fresh && has_settings(*s, wanted) ? s : nullptr;
}

server* slice::pick(const settings* wanted) noexcept {
    for (auto& s : idle_) {
        if (has_settings(s, wanted)) {
            return &s;
        }
    }
    return &idle_.front();
}

lease slice::take_ready(waiter& w, const settings* wanted) {
    if (auto* s = ready(wanted); s != nullptr && is_open()) {
        s->lend(w);
        publish();
        return lease{*s};
    }
    return {};
}

lease slice::acquire(waiter& w, const settings_ptr& wanted) {
    if (auto ready = take_ready(w, wanted.get())) {
        return ready;
    }
    if (is_removed()) {
        w.on_refused(removed());
        return {};
    }
    enqueue(w, wanted);
    publish_early();
    dispatch();
    if (w.is_waiting()) {
        want_servers();
    }
    return {};
}

connect_failure slice::removed() const {
    return {"3D000", "database \"" + shelf_->key.database + "\" is not configured", {}, {}};
}

void slice::enqueue(waiter& w, const settings_ptr& wanted) {
    w.queue_ = this;
    if (w.wanted_ != wanted) {
        w.wanted_ = wanted;  // counted across threads, so not for nothing
    }
    w.since_ = now();
    waiters_.push_back(w);
    ++waiting_count_;
    arm();
}

void slice::dial(waiter& w, startup_parameters startup) {
    w.startup_ = std::move(startup);
    w.queue_ = this;
    w.since_ = now();
    dialers_.push_back(w);
    serve_dialers();
    arm();
}

void slice::serve_dialers() {
    while (!dialers_.empty() && target_ != nullptr) {
        const auto why = connect_one(true, &dialers_.front());
        if (why == directory::refusal::busy) {
            return;
        }
        if (why == directory::refusal::pool_full) {
            // Idle servers have no use for it but to make room. One at a time: a backend may take
            // a while to end.
            if (shelf_->staying() == shelf_->size()) {
                (void)close_idle_of(shelf_);
            }
            return;
        }
        if (why != directory::refusal::none) {
            return evict(why);
        }
    }
}

void slice::on_lost(waiter& w) {
    w.preparing_ = nullptr;
    w.queue_ = nullptr;
    w.on_refused({"57P01", "terminating connection due to administrator command", {}, {}});
}

void slice::requeue(waiter& w) {
    w.preparing_ = nullptr;
    if (w.origin_ != nullptr && !w.origin_->sends_to(*this)) {
        w.queue_ = nullptr;
        return w.origin_->take_back(w);
    }
    w.queue_ = this;
    waiters_.push_front(w);
    ++waiting_count_;
    publish();
    arm();
}

void slice::dequeue(waiter& w) noexcept {
    w.unlink();
    w.queue_ = nullptr;
    waiting_count_ -= w.startup_.empty() ? 1 : 0;
}

void slice::dispatch() {
    // A client that gets a server may give it back at once; then the loop below goes on, and the
    // stack does not grow.
    if (dispatching_) {
        return;
    }
    const flag_set busy{dispatching_};
    while (!idle_.empty() && !waiters_.empty() && is_open()) {
        auto& w = waiters_.front();
        auto& s = *pick(w.wanted_.get());
        if (move_to_older_waiter(s, w.since_)) {
            continue;
        }
        if (now() - s.proven() >= pool_.server_check_delay) {
            // The others have been idle for as long: no more is proven than is needed.
            if (states_[static_cast<std::size_t>(state::checking)] >= waiting_count_) {
                break;
            }
            s.check();
            continue;
        }
        dequeue(w);
        if (has_settings(s, w.wanted_.get())) {
            s.lend(w);
            w.on_server(lease{s});
        } else {
            w.queue_ = this;
            s.prepare_for(w);
        }
    }
    while (!idle_.empty() && waits_elsewhere() && is_open() &&
           move_to_older_waiter(idle_.front(), base::never)) {}
    publish();
}

void slice::verify_welcome(const settings* s, const parameter_set& told) {
    if (target_ != nullptr) {
        shelf_->welcomes.verify(s, *target_, told);
    }
}

std::shared_ptr<const std::string> slice::welcome_for(const settings* s) const {
    return target_ == nullptr ? nullptr : shelf_->welcomes.find(s, *target_);
}

void slice::learn_welcome(const settings_ptr& s, const parameter_set& parameters) {
    if (target_ != nullptr) {
        shelf_->welcomes.learn(s, target_, parameters);
    }
}

void slice::refuse_all(const connect_failure& why) {
    for (auto* list : {&waiters_, &dialers_}) {
        while (!list->empty()) {
            auto& w = list->front();
            dequeue(w);
            if (is_removed() && w.origin_ != nullptr) {
                w.origin_->take_back(w);  // another node may serve it
            } else {
                w.on_refused(why);
            }
        }
    }
    publish();
}

// --- servers come and go

void slice::on_joined(state s) noexcept {
    ++states_[static_cast<std::size_t>(s)];
    if (is_live(s)) {
        ++shelf_->live;
    }
    // connecting: counted with its permit
}

void slice::on_left(state s) noexcept {
    --states_[static_cast<std::size_t>(s)];
    if (s == state::connecting) {
        --shelf_->connecting;
    } else if (is_live(s)) {
        --shelf_->live;
    }
}

void slice::on_state(state from, state to) noexcept {
    if (is_live(from) && is_live(to)) {
        // The common case touches nothing that other workers see.
        --states_[static_cast<std::size_t>(from)];
        ++states_[static_cast<std::size_t>(to)];
        return;
    }
    on_left(from);
    on_joined(to);
}

bool slice::must_retire(const server& s) const noexcept {
    return target_ == nullptr || cut_ || paused_ || s.born() < reconnect_since_ ||
           !s.where().is_same_server(*target_) || s.expires() <= now();
}

void slice::on_available(server& s) {
    if (must_retire(s)) {
        s.close(server::ending::at_once);
        publish();
        want_servers();
        return;
    }
    idle_.push_front(s);
    publish_early();
    dispatch();
}

void slice::on_connected() {
    shelf_->failures = 0;
    shelf_->retry_at = 0;
    shelf_->set_last_error({});
    want_servers();
    arm();
}

void slice::note_failure(const connect_failure& why) {
    shelf_->set_last_error(why.message);
    smell(cluster::smell::lost);
    if (stamp(now()) < shelf_->retry_at.load()) {
        return;  // one of several that began together: the round has failed once
    }
    thread_local std::minstd_rand random{std::random_device{}()};
    std::uniform_real_distribution<double> jitter{0.5, 1.0};
    const auto failures = std::min(shelf_->failures.fetch_add(1), 10U);
    const auto wait = std::min(first_retry * (1U << failures), longest_retry);
    shelf_->retry_at =
        stamp(now() + std::chrono::duration_cast<base::duration>(wait * jitter(random)));
}

void slice::on_connect_failed(const connect_failure& why) {
    if (!why.is_temporary() && shelf_->live.load() == 0) {
        // Nobody else of this pool is let in either, so those who wait need not wait longer.
        refuse_all(why);
    }
    arm();
}

void slice::on_gone() {
    publish();
    want_servers();
}

void slice::on_freed() {
    evicting_ -= std::min(evicting_, 1U);
    want_servers();
}

// How many at the head of the queue have waited long enough for the reserve.
unsigned slice::patient_waiters() const noexcept {
    unsigned count = 0;
    if (pool_.reserve_size != 0) {
        for (const auto& w : waiters_) {
            if (now() - w.since_ < pool_.reserve_after) {
                break;
            }
            ++count;
        }
    }
    return count;
}

void slice::want_servers() {
    serve_dialers();
    const auto count = [this](state s) { return states_[static_cast<std::size_t>(s)]; };
    // On their way to whoever waits. One that waits for its cancel request may take seconds.
    auto coming = count(state::connecting) + count(state::checking) + count(state::cleaning) -
                  preparing_ + count(state::idle) + asked_;
    if (waiting_count_ <= coming || target_ == nullptr) {
        return;
    }
    const auto patient = patient_waiters();
    auto why = directory::refusal::none;
    while (waiting_count_ > coming) {
        why = connect_one(coming < patient);
        if (why != directory::refusal::none) {
            break;
        }
        ++coming;
    }
    if (waiting_count_ > coming) {
        coming += ask_others(waiting_count_ - coming);
    }
    if (why != directory::refusal::none) {
        in_the_way_ = why;
    }
    if (waiting_count_ > coming &&
        (why == directory::refusal::database_full || why == directory::refusal::user_full)) {
        evict(why);
    }
}

directory::refusal slice::connect_one(bool use_reserve, waiter* dialer) {
    const bool is_full = shelf_->is_full(use_reserve) && shelf_->connecting == 0;
    if (is_full && dialer == nullptr) {
        return directory::refusal::pool_full;  // the usual case where clients wait for each other
    }
    if (stamp(now()) < shelf_->retry_at.load() || !is_open() ||
        (clustered_ && target_->address.empty())) {
        return directory::refusal::busy;
    }
    if (is_full) {
        return directory::refusal::pool_full;
    }
    auto [right, why] = shelf_->home().take(*shelf_, use_reserve, pool_.max_parallel_connects);
    if (right) {
        std::unique_ptr<server> made;
        try {
            made = std::make_unique<server>(*this, std::move(right), target_, home_.next_id());
        } catch (...) {
            --shelf_->connecting;  // a server takes itself off
            throw;
        }
        if (dialer != nullptr) {
            dequeue(*dialer);
            made->dedicate(*dialer);
        }
        made.release()->start();  // a member of this slice from its birth
    }
    return why;
}

// Asks workers with idle servers for as many as are wanted; how many that is.
unsigned slice::ask_others(unsigned wanted) {
    unsigned asked = 0;
    for (unsigned w = 0; w < home_.worker_count() && asked < wanted; ++w) {
        const auto idle = w == home_.index() ? 0 : shelf_->board(w).idle.load();
        if (const auto share = std::min(idle, wanted - asked); share != 0) {
            home_.ask(w, shelf_, share);
            asked += share;
        }
    }
    asked_ += asked;
    return asked;
}

// Lets another pool close an idle server for us; one for each waiter that has none coming.
void slice::evict(directory::refusal why) {
    if (now() - evicted_at_ > pool_.server_close_timeout) {
        evicting_ = 0;
    }
    if (evicting_ >= waiting_count_ + dialers_.size()) {
        return;
    }
    const auto victim = shelf_->home().find_victim(*shelf_, why);
    if (victim != nullptr && close_idle_of(victim)) {
        ++evicting_;
        evicted_at_ = now();
    }
}

// Asks a worker that has an idle server of the pool to close one. False: none has.
bool slice::close_idle_of(const shelf_ptr& pool) {
    if (pool == shelf_ && !idle_.empty()) {
        close_one_idle();
        return true;
    }
    for (unsigned w = 0; w < home_.worker_count(); ++w) {
        if (pool->board(w).idle.load() != 0) {
            home_.tell(w, pool, [](slice& s) { s.close_one_idle(); });
            return true;
        }
    }
    return false;
}

void slice::close_one_idle() {
    if (!idle_.empty()) {
        idle_.back().close(server::ending::at_once);
        publish();
    }
}

void slice::close_idle() {
    while (!idle_.empty()) {
        idle_.front().close(server::ending::at_once);
    }
    publish();
}

void slice::close_all() {
    target_ = nullptr;
    // close() may end a server at once and take it off the list.
    std::vector<server*> all;
    for (auto& s : members_) {
        all.push_back(&s);
    }
    for (auto* s : all) {
        s->close(server::ending::cancel);
    }
    publish();
}

// --- other workers

// In front of dispatch(), which publishes what is left and looks at what others have published.
void slice::publish_early() noexcept {
    if (is_shared()) {
        publish();
    }
}

void slice::publish() noexcept {
    if (!is_shared()) {
        // With one worker the board only serves limits that span pools.
        auto& mine = shelf_->board(home_.index());
        mine.idle.store(states_[static_cast<std::size_t>(state::idle)], std::memory_order_relaxed);
        mine.waiting_since.store(waiters_.empty() ? 0 : stamp(waiters_.front().since_),
                                 std::memory_order_relaxed);
        shelf_->waiting.store(waiters_.empty() ? 0 : 1, std::memory_order_relaxed);
        return;
    }
    auto& mine = shelf_->board(home_.index());
    mine.idle.store(states_[static_cast<std::size_t>(state::idle)]);
    mine.waiting_since.store(waiters_.empty() ? 0 : stamp(waiters_.front().since_));
    const auto bit = std::uint64_t{1} << home_.index();
    const bool was = (shelf_->waiting.load(std::memory_order_relaxed) & bit) != 0;
    if (waiters_.empty() && was) {
        shelf_->waiting.fetch_and(~bit);
    } else if (!waiters_.empty() && !was) {
        shelf_->waiting.fetch_or(bit);
    }
}

// Does anybody wait for a server of this pool on another worker?
bool slice::waits_elsewhere() const noexcept {
    return (shelf_->waiting.load() & ~(std::uint64_t{1} << home_.index())) != 0;
}

// Gives `s` to the worker with the oldest waiter, if that one is older than `local` by the slack.
bool slice::move_to_older_waiter(server& s, base::time_point local) {
    // What was kept sits in a buffer of this worker.
    if (!waits_elsewhere() || s.channel().has_kept()) {
        return false;
    }
    auto oldest = local == base::never ? base::never.time_since_epoch().count()
                                       : stamp(local - hand_over_slack);
    unsigned to = home_.index();
    for (unsigned w = 0; w < home_.worker_count(); ++w) {
        const auto since = shelf_->board(w).waiting_since.load();
        if (w != home_.index() && since != 0 && since < oldest) {
            oldest = since;
            to = w;
        }
    }
    if (to == home_.index()) {
        return false;
    }
    // Its bit stays set until it has served its waiters, but one server a waiter is enough.
    shelf_->board(to).waiting_since.store(0);
    // Shared, since std::function copies; should nobody take it, it is closed.
    const auto moving = std::make_shared<gift>();
    hand_over(s, *moving);
    home_.tell(to, shelf_, [moving](slice& other) { other.adopt(std::move(*moving), 0); });
    return true;
}

void slice::hand_over(server& s, gift& to) {
    to.emplace_back(&s);
    s.leave_slice();
    publish();
}

// The longest unused first: they are the least likely to be wanted here.
slice::gift slice::give_idle(unsigned most) {
    gift given;
    for (auto it = idle_.end(); it != idle_.begin() && given.size() < most;) {
        auto& s = *--it;
        if (waiters_.empty() && !s.channel().has_kept()) {
            ++it;
            hand_over(s, given);
        }
    }
    return given;
}

void slice::adopt(gift servers, unsigned asked) {
    asked_ -= asked;
    for (auto& s : servers) {
        s.release()->join_slice(*this);
    }
    publish();
    // Some who wait may still have nobody coming: what was asked for may have been refused.
    want_servers();
}

// --- the tick

void slice::on_timer() {
    if (is_removed()) {
        refuse_all(removed());  // whose server broke while it was being prepared
    }
    if (standing_awaited_ && may_begin()) {
        tell_standing();
    }
    retire_old();
    want_servers();
    keep_minimum();
    dispatch();
    arm();
}

void slice::retire_old() {
    std::vector<server*> old;
    for (auto it = idle_.rbegin(); it != idle_.rend(); ++it) {
        const bool bored = pool_.server_idle_timeout.count() != 0 &&
                           now() - it->last_used() >= pool_.server_idle_timeout;
        if (must_retire(*it) || it->right().leave_above(pool_.size + pool_.reserve_size) ||
            (bored && it->right().leave_above(pool_.min_size))) {
            old.push_back(&*it);
        }
    }
    for (auto* s : old) {
        s->close(server::ending::at_once);
    }
    if (!old.empty()) {
        publish();
    }
}

// Only on workers where clients of this pool live, and never at the expense of another pool.
void slice::keep_minimum() {
    if (pool_.min_size == 0 || target_ == nullptr) {
        return;
    }
    const auto homes = slices::homes_of(shelf_->key, pool_.size, home_.worker_count());
    if (std::ranges::find(homes, home_.index()) == homes.end()) {
        return;
    }
    while (shelf_->staying() < pool_.min_size && connect_one(false) == directory::refusal::none) {}
}

void slice::arm() {
    auto& timers = home_.loop().timers();
    if (!waiters_.empty() || !dialers_.empty() || standing_awaited_) {
        timers.set(*this, std::min(due(), now() + waiting_tick));
    } else if (!members_.empty() || pool_.min_size != 0) {
        timers.set(*this, std::min(due(), now() + calm_tick));
    }
}

const std::string& slice::user() const noexcept {
    return target_ ? target_->user : shelf_->key.role;
}

void slice::fill_statements(metrics::report& r) const {
    for (const auto& member : members_) {
        member.statements().for_each([&](const protocol::statement& s) {
            r.statements.push_back(statement_row_of(s, shelf_->key.database, user()));
            r.statements.back().servers = 1;
        });
    }
}

void slice::fill_memory(metrics::report& r) const {
    const auto servers = members_.size();
    r.memory.push_back({"pool", sizeof(slice), 1, 0, sizeof(slice)});
    r.memory.push_back({"server", sizeof(server), servers, 0, servers * sizeof(server)});
    metrics::memory_row held{.name = "server_statement",
                             .size = sizeof(protocol::server_statements::held)};
    for (const auto& member : members_) {
        held.used += member.statements().size();
    }
    held.total = held.used * held.size;
    r.memory.push_back(std::move(held));
}

void slice::fill(metrics::report& r, unsigned parts) const {
    const auto has = [parts](metrics::part p) { return (parts & static_cast<unsigned>(p)) != 0; };
    if (has(metrics::part::servers)) {
        for (const auto& s : members_) {
            r.servers.push_back(s.describe());
        }
    }
    if (has(metrics::part::pools)) {
        metrics::pool_row row;
        row.database = shelf_->key.database;
        row.user = user();
        row.mode = config::to_string(pool_.mode);
        row.clients_waiting = waiting_count_;
        row.servers = states_;
        if (!shelf_->key.node.empty()) {
            row.nodes.push_back({shelf_->key.node, states_});
        }
        if (!waiters_.empty()) {
            row.longest_wait_us =
                static_cast<std::uint64_t>(std::chrono::duration_cast<std::chrono::microseconds>(
                                               base::steady::now() - waiters_.front().since_)
                                               .count());
        }
        r.pools.push_back(std::move(row));
    }
    if (has(metrics::part::statements)) {
        fill_statements(r);
    }
    if (has(metrics::part::memory)) {
        fill_memory(r);
    }
    const auto idle = states_[static_cast<std::size_t>(state::idle)];
    r.free_servers += idle;
    for (const auto n : states_) {
        r.used_servers += n;
    }
    r.used_servers -= idle;
}

// --- all slices of a worker

slices::slices(shared& all, net::loop& l, unsigned index) : all_{all}, loop_{l}, index_{index} {}

slices::~slices() = default;

slice& slices::open(const shelf_ptr& s, const config::snapshot& snapshot) {
    snapshot_ = &snapshot;
    auto& mine = slices_[s.get()];
    if (!mine) {
        mine = std::make_unique<slice>(*this, s);
        mine->configure(snapshot);
        mine->on_view();
        if (is_paused(s->key.database)) {
            mine->set_paused(true);
        }
    }
    return *mine;
}

gate& slices::open(const gate_key& key, const config::snapshot& snapshot) {
    snapshot_ = &snapshot;
    auto& mine = gates_[key];
    if (!mine) {
        mine = std::make_unique<gate>(*this, key);
        mine->configure(snapshot);
    }
    return *mine;
}

void slices::configure(const config::snapshot& snapshot) {
    snapshot_ = &snapshot;
    for (const auto& [s, mine] : slices_) {
        mine->configure(snapshot);
    }
    tell_views();  // the database may have got another cluster, whose view came long ago
    for (const auto& [key, mine] : gates_) {
        mine->configure(snapshot);
    }
}

void slices::on_view(const std::string& cluster, cluster::view_ptr view) {
    const auto it = sights_.find(cluster);
    if (it == sights_.end() ||
        (it->second.view != nullptr && it->second.view->serial >= view->serial)) {
        return;  // nobody here uses it; or seen already, by whoever came first
    }
    it->second.view = std::move(view);
    // What a role's end means for the servers comes before clients are sent elsewhere.
    tell_views();
    std::vector<gate*> gates;
    for (const auto& [key, mine] : gates_) {
        if (mine->has_cluster()) {
            gates.push_back(mine.get());
        }
    }
    for (auto* g : gates) {
        g->on_view();
    }
}

// The slices of nodes take note of what was seen last of their clusters.
void slices::tell_views() {
    std::vector<slice*> of_nodes;
    for (const auto& [s, mine] : slices_) {
        if (!s->key.node.empty()) {
            of_nodes.push_back(mine.get());
        }
    }
    for (auto* s : of_nodes) {
        s->on_view();
    }
}

void slices::set_paused(const std::string& database, bool paused) {
    if (paused) {
        paused_.insert(database);
    } else if (database.empty()) {
        paused_.clear();
    } else {
        paused_.erase(database);
    }
    for (const auto& [s, mine] : slices_) {
        mine->set_paused(is_paused(s->key.database));
    }
}

void slices::reconnect(const std::string& database) {
    for (const auto& [s, mine] : slices_) {
        if (database.empty() || s->key.database == database) {
            mine->reconnect();
        }
    }
}

bool slices::has_servers(const std::string& database) const {
    return std::ranges::any_of(slices_, [&](const auto& s) {
        return (database.empty() || s.first->key.database == database) && s.second->has_servers();
    });
}

bool slices::drain(const std::string& cluster, base::time_point until) {
    const auto is_on = [until](const cluster::view_ptr& v) {
        return v != nullptr && v->view.switchover_until == until;
    };
    const auto& seen = sight_of(cluster);
    if (!is_on(seen.view)) {
        // The view may not have come here yet: ask the board, which has it.
        return seen.board == nullptr || !is_on(seen.board->view());
    }
    bool is_busy = false;
    for (const auto& [s, mine] : slices_) {
        const auto* database = snapshot_->find_database(s->key.database);
        if (mine->is_giving_up() && database != nullptr && database->cluster == cluster) {
            is_busy = is_busy || mine->is_busy();
            mine->close_idle();
        }
    }
    return !is_busy;
}

const slices::sight& slices::sight_of(const std::string& cluster) {
    const auto [it, is_new] = sights_.try_emplace(cluster);
    if (is_new && all_.board_of) {
        it->second.board = all_.board_of(cluster);
        it->second.view = it->second.board == nullptr ? nullptr : it->second.board->view();
    }
    return it->second;
}

const cluster::published_node* slices::find_node(const std::string& cluster,
                                                 const std::string& node) {
    if (cluster.empty() || node.empty()) {
        return nullptr;
    }
    const auto& seen = sight_of(cluster);
    if (seen.view == nullptr) {
        return nullptr;
    }
    const auto it = std::ranges::find(seen.view->nodes, node, &cluster::published_node::name);
    return it == seen.view->nodes.end() ? nullptr : &*it;
}

std::shared_ptr<protocol::statement_store> slices::statements_of(const shelf_key& key) {
    auto& known = stores_[{key.database, key.role}];
    auto store = known.lock();
    if (!store) {
        // A server that was here before may come back to the store that is made next.
        known = store = {new protocol::statement_store{index_, statements_made},
                         [this](protocol::statement_store* ended) {
                             statements_made = std::max(statements_made, ended->made());
                             delete ended;
                         }};
    }
    return store;
}

bool slices::sweep(const config::snapshot& snapshot) {
    const auto is_named = [&snapshot](const std::string& database) {
        return snapshot.databases.contains(database);
    };
    // Users who were looked up are not named either.
    const auto is_kept = [&](const auto& key) {
        return is_named(key.database) && (key.role.empty() || snapshot.users.contains(key.role));
    };
    std::erase_if(gates_,
                  [&](const auto& g) { return g.second->is_deserted() && !is_kept(g.first); });
    const auto ended = std::erase_if(slices_, [&](const auto& s) {
        // That of a node goes with the last gate: gates have all nodes of their cluster.
        const auto& key = s.first->key;
        return s.second->is_deserted() && (!key.node.empty() || !is_kept(key));
    });
    if (ended != 0) {
        std::set<std::string_view> used;
        for (const auto& [shelf, mine] : slices_) {
            used.insert(shelf->key.database);
        }
        for (const auto& [key, mine] : gates_) {
            used.insert(key.database);
        }
        std::erase_if(traffic_,
                      [&](const auto& t) { return !used.contains(t.first) && !is_named(t.first); });
        std::erase_if(stores_, [](const auto& s) { return s.second.expired(); });
    }
    all_.pools.sweep();
    return ended != 0;
}

void slices::fill(metrics::report& r, unsigned parts) const {
    const auto has = [parts](metrics::part p) { return (parts & static_cast<unsigned>(p)) != 0; };
    for (const auto& [s, mine] : slices_) {
        mine->fill(r, parts);
    }
    if (has(metrics::part::pools)) {
        for (const auto& [key, mine] : gates_) {
            mine->fill(r);
        }
    }
    metrics::memory_row texts{.name = "statement", .size = sizeof(protocol::statement)};
    for (const auto& known : stores_) {
        const auto& user = user_of(known.first.first, known.first.second);
        if (const auto store = known.second.lock()) {
            store->for_each([&](const protocol::statement& s) {
                ++texts.used;
                texts.total += texts.size + s.parse.capacity();
                if (has(metrics::part::statements)) {
                    r.statements.push_back(statement_row_of(s, known.first.first, user));
                    r.statements.back().binds = s.binds;
                }
            });
        }
    }
    if (has(metrics::part::memory)) {
        r.memory.push_back(std::move(texts));
    }
}

// Whom servers of clients of this role log in as.
const std::string& slices::user_of(const std::string& database, const std::string& role) const {
    const auto* d = snapshot_ == nullptr ? nullptr : snapshot_->find_database(database);
    return role.empty() && d != nullptr ? d->user : role;
}

void slices::tell(unsigned worker, const shelf_ptr& s, std::function<void(slice&)> what) {
    auto& other = *all_.workers[worker];
    other.loop_.post([&other, s, what = std::move(what)] {
        if (const auto it = other.slices_.find(s.get()); it != other.slices_.end()) {
            what(*it->second);
        }
    });
}

void slices::ask(unsigned worker, const shelf_ptr& s, unsigned count) {
    auto& other = *all_.workers[worker];
    other.loop_.post([this, &other, s, count] {
        auto given = std::make_shared<slice::gift>();
        if (const auto it = other.slices_.find(s.get()); it != other.slices_.end()) {
            try {
                *given = it->second->give_idle(count);
            } catch (const std::exception& e) {
                // Whoever asked must hear that nothing comes.
                PGWEIR_LOG(err, "idle servers are not given away: {}", e.what());
            }
        }
        loop_.post([this, s, count, given] {
            if (const auto it = slices_.find(s.get()); it != slices_.end()) {
                it->second->adopt(std::move(*given), count);
            }
        });
    });
}

void slices::on_freed(shared& all, shelf& s) {
    auto oldest = base::never.time_since_epoch().count();
    slices* next = nullptr;
    for (auto* w : all.workers) {
        const auto since = s.board(w->index_).waiting_since.load();
        if (since != 0 && since < oldest) {
            oldest = since;
            next = w;
        }
    }
    if (next != nullptr) {
        next->tell(next->index_, s.shared_from_this(), [](slice& waiting) { waiting.on_freed(); });
    }
}

void slices::done(net::mortal& errand) {
    const auto it = std::ranges::find(errands_, &errand, [](const auto& e) { return e.get(); });
    loop_.bury(std::move(*it));
    errands_.erase(it);
}

metrics::traffic& slices::traffic_of(const std::string& database) { return traffic_[database]; }

std::vector<unsigned> slices::homes_of(const shelf_key& key, unsigned size, unsigned workers) {
    // A slice of fewer than four servers makes clients wait beside idle servers of a neighbour.
    const auto count = std::clamp(size / 4, 1U, workers);
    const auto first =
        static_cast<unsigned>(std::hash<std::string>{}(key.database + '\0' + key.role) % workers);
    std::vector<unsigned> homes;
    for (unsigned i = 0; i < count; ++i) {
        homes.push_back((first + i) % workers);
    }
    return homes;
}

}  // namespace pgweir::pool
