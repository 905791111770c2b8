// Finds the node that may serve a client now, and holds those for whom there is none.
#include "pgweir/pool/gate.hpp"

#include "pgweir/base/log.hpp"
#include "pgweir/protocol/message_writer.hpp"

#include <algorithm>

namespace pgweir::pool {
namespace {

using config::access_target;

constexpr std::string_view standby_parameter = "in_hot_standby";

cluster::routing_settings routing_of(access_target target, const config::cluster_settings& c) {
    cluster::routing_settings r;
    switch (target) {
        case access_target::prefer_standby: r.target = cluster::read_target::prefer_standby; break;
        case access_target::any: r.target = cluster::read_target::any; break;
        default: r.target = cluster::read_target::standby; break;
    }
    switch (c.balance) {
        case config::balancing::round_robin: r.balance = cluster::balancing::round_robin; break;
        case config::balancing::least_connections:
            r.balance = cluster::balancing::least_connections;
            break;
        case config::balancing::weighted_least_connections:
            r.balance = cluster::balancing::weighted_least_connections;
            break;
        case config::balancing::hash: r.balance = cluster::balancing::hash; break;
    }
    r.max_lag_bytes = c.max_lag_bytes;
    r.max_lag = c.max_lag;
    r.slow_start = c.slow_start;
    return r;
}

bool is_older(const waiter& a, const waiter& b) noexcept {
    return a.waiting_since() < b.waiting_since();
}

}  // namespace

gate::gate(slices& home, gate_key key)
    : home_{home},
      key_{std::move(key)},
      traffic_{&home.traffic_of(key_.database)},
      statements_{home.statements_of({key_.database, key_.role})},
      router_{{}, home.index()} {}

gate::~gate() {
    while (!held_.empty()) {
        unhold(held_.front());
    }
}

void gate::configure(const config::snapshot& snapshot) {
    const auto* database = snapshot.find_database(key_.database);
    const bool forced = database != nullptr && !database->user.empty();
    removed_ = database == nullptr || forced != key_.role.empty() ||
               (database->cluster.empty() && is_for_reading());
    if (removed_) {
        identity_ = {};
        while (!held_.empty()) {
            auto& w = held_.front();
            end_hold(w);
            w.on_refused(removal());
        }
        return;
    }
    // Clients of a forced user share the pool, so what is said of one of them does not shape it.
    const auto* user = forced ? nullptr : snapshot.find_user(key_.role);
    if (const auto identity = server_identity_of(snapshot, *database, key_.role);
        !identity_.is_of(identity)) {
        identity_ = home_.all().keys.hold(identity);
    }
    pool_ = config::effective_pool(*database, user);
    timeouts_ = config::effective_timeouts(*database, user);
    if (branches_.empty() || database->cluster != cluster_name_) {
        auto all = detach();
        attach(snapshot, *database);
        hold_all(all);
    }
    if (board_ != nullptr) {
        cluster_ = snapshot.clusters.at(cluster_name_);
        router_.configure(routing_of(key_.target, cluster_));
        open_branches(snapshot);
    }
    send_on();
}

connect_failure gate::removal() const {
    return {"3D000", "database \"" + key_.database + "\" is not configured", {}, {}};
}

void gate::attach(const config::snapshot& snapshot, const config::database_settings& database) {
    cluster_name_ = database.cluster;
    if (cluster_name_.empty()) {
        const bool forced = key_.role.empty();
        const auto shelf =
            home_.all().pools.open({key_.database, key_.role}, pool_, database,
                                   snapshot.find_user(forced ? database.user : key_.role));
        branches_.emplace_back(std::string{}, home_.open(shelf, snapshot));
        current_ = branches_.front().where;
        return;
    }
    board_ = home_.sight_of(cluster_name_).board;
    hold_since_ = hold_began_ = now();
}

// All who wait, in the order of their coming. Those who are held count at the board they are held
// under, which is another one afterwards.
waiter_list gate::detach() {
    waiter_list all;
    while (!held_.empty()) {
        auto& w = held_.front();
        unhold(w);
        all.push_back(w);
    }
    for (auto& b : branches_) {
        b.where->evacuate(*this, all);
    }
    all.sort(is_older);
    branches_.clear();
    has_seen_nodes_ = false;
    current_ = next_ = nullptr;
    board_.reset();
    return all;
}

// Every node has a branch, also those that serve nobody now: what may be the next primary has its
// connections ready.
void gate::open_branches(const config::snapshot& snapshot) {
    const auto& view = home_.sight_of(cluster_name_).view;
    if (view == nullptr) {
        return;
    }
    const auto* database = snapshot.find_database(key_.database);
    const auto* user = snapshot.find_user(key_.role.empty() ? database->user : key_.role);
    for (const auto& node : view->nodes) {
        if (std::ranges::find(branches_, node.name, &branch::node) == branches_.end()) {
            const auto shelf = home_.all().pools.open({key_.database, key_.role, node.name}, pool_,
                                                      *database, user);
            branches_.emplace_back(node.name, home_.open(shelf, snapshot));
        }
    }
    const auto is_left = [&view](const branch& b) {
        return std::ranges::find(view->nodes, b.node, &cluster::published_node::name) !=
               view->nodes.end();
    };
    waiter_list moving;
    for (auto& b : branches_) {
        if (!is_left(b)) {
            b.where->evacuate(*this, moving);
        }
    }
    hold_all(moving);
    std::erase_if(branches_, [&](const branch& b) { return !is_left(b); });
    next_ = nullptr;
}

void gate::on_view() {
    if (removed_) {
        return;
    }
    open_branches(home_.snapshot());
    send_on();
}

// What the view says of each branch, for routing reads.
void gate::note_readable() {
    const auto& view = home_.sight_of(cluster_name_).view;
    candidates_.resize(branches_.size());
    // Nobody has been away whom we see for the first time, except who joins the others later.
    const bool has_seen_others = std::exchange(has_seen_nodes_, true);
    for (std::size_t i = 0; i < branches_.size(); ++i) {
        auto& b = branches_[i];
        auto& c = candidates_[i];
        const auto n = static_cast<std::size_t>(
            std::ranges::find(view->nodes, b.node, &cluster::published_node::name) -
            view->nodes.begin());
        const auto& node = view->view.nodes[n];
        c.id = cluster::hash_of(b.node);
        c.weight = view->nodes[n].weight;
        c.is_primary = view->view.primary == n;
        c.reads = node.cut ? cluster::read_quality::none : node.reads;
        c.lag = node.lag;
        c.replay_lag = node.replay_lag;
        const bool was =
            std::exchange(b.readable, c.is_primary || c.reads != cluster::read_quality::none);
        if (b.readable && !was && has_seen_others) {
            b.back = now();
        }
        c.back = b.back;
    }
}

// Those who wait where nobody is served any more go to where they are served now, if anywhere.
void gate::send_on() {
    if (board_ == nullptr) {
        waiter_list all;
        while (!held_.empty()) {
            auto& w = held_.front();
            unhold(w);
            all.push_back(w);
        }
        return current_->absorb(all);
    }
    const auto& view = home_.sight_of(cluster_name_).view;
    if (view == nullptr) {
        return;
    }
    next_ = nullptr;
    epoch_ = view->view.epoch;
    const bool was_on_hold = hold_since_ != base::no_time;
    slice* to = nullptr;
    if (is_for_reading()) {
        note_readable();
        note_hold(std::ranges::none_of(branches_, &branch::readable));
    } else {
        if (view->view.primary) {
            to = std::ranges::find(branches_, view->nodes[*view->view.primary].name, &branch::node)
                     ->where;
        }
        note_hold(to == nullptr);
        current_ = to;
    }
    waiter_list moving;
    for (auto& b : branches_) {
        if (!sends_to(*b.where)) {
            b.where->evacuate(*this, moving);
        }
    }
    moving.sort(is_older);
    for (auto& w : moving) {
        w.origin_ = this;
    }
    if (to != nullptr) {
        waiter_list all;
        while (!held_.empty()) {
            auto& w = held_.front();
            end_hold(w);
            all.push_back(w);
        }
        all.merge(moving, is_older);
        std::vector<waiter*> told;
        for (auto& w : all) {
            told.push_back(&w);
        }
        to->absorb(all);
        for (auto* w : told) {
            if (w->is_waiting()) {
                w->on_hold_changed();
            }
        }
        return;
    }
    std::vector<waiter*> told;
    while (!moving.empty()) {
        auto& w = moving.front();
        moving.pop_front();
        hold(w);
        told.push_back(&w);
    }
    held_.sort(is_older);
    if (is_for_reading() && hold_since_ == base::no_time) {
        // Each to the node that is chosen for it.
        told.clear();
        waiter_list all;
        all.swap(held_);
        while (!all.empty()) {
            auto& w = all.front();
            all.pop_front();
            held_.push_back(w);
            was_on_hold ? end_hold(w) : unhold(w);
            told.push_back(&w);
            if (auto* s = route_read(w)) {
                next_ = nullptr;
                waiter_list one;
                one.push_back(w);
                s->absorb(one);
            } else {
                hold(w);
            }
        }
    }
    for (auto* w : told) {
        if (w->is_waiting()) {
            w->on_hold_changed();
        }
    }
    if (hold_since_ != base::no_time && rejects()) {
        refuse_held(no_node());
    }
}

bool gate::sends_to(const slice& s) const noexcept {
    if (board_ == nullptr || !is_for_reading()) {
        return &s == current_;
    }
    const auto it = std::ranges::find(branches_, &s, &branch::where);
    return it != branches_.end() && it->readable;
}

slice* gate::route_read(const waiter& w) {
    if (next_ != nullptr && next_for_ == &w && next_->is_open()) {
        return next_;
    }
    next_for_ = &w;
    for (std::size_t i = 0; i < candidates_.size(); ++i) {
        candidates_[i].load = branches_[i].where->load();
    }
    const auto picked = router_.pick(
        candidates_, cluster_.balance == config::balancing::hash ? w.balance_key() : 0, now());
    next_ = picked ? branches_[*picked].where : nullptr;
    return next_;
}

lease gate::acquire(waiter& w, const settings_ptr& wanted) {
    w.origin_ = this;
    auto* s = way_of(w);
    next_ = nullptr;
    if (s != nullptr) {
        return s->acquire(w, wanted);
    }
    w.wanted_ = wanted;
    w.since_ = now();
    enter_hold(w);
    return {};
}

void gate::dial(waiter& w, startup_parameters startup) {
    auto* s = way_of(w);
    next_ = nullptr;
    if (s == nullptr) {
        const auto why = no_node();
        return w.on_refused({why.sqlstate, why.message, why.detail, why.hint});
    }
    s->dial(w, std::move(startup));
}

// --- the hold

bool gate::rejects() const noexcept {
    const auto& view = home_.sight_of(cluster_name_).view;
    return !is_for_reading() && view != nullptr && view->view.writes == cluster::write_mode::reject;
}

// A client that has just come.
void gate::enter_hold(waiter& w) {
    if (rejects()) {
        return w.on_unavailable(no_node());
    }
    const auto& c = counts();
    if (c.held_clients.load(std::memory_order_relaxed) >= cluster_.hold_max_clients ||
        c.held_bytes.load(std::memory_order_relaxed) + w.kept_bytes() > cluster_.hold_max_bytes) {
        auto why = no_node();
        why.sqlstate = "53300";
        why.message = "too many clients wait for a " +
                      std::string{is_for_reading() ? "node to read from" : "primary"} +
                      " of cluster \"" + cluster_name_ + "\" already";
        why.hint = "hold_max_clients and hold_max_bytes of the cluster in pgweir";
        return w.on_unavailable(why);
    }
    hold(w);
    w.on_hold_changed();  // what it has set a timer to so far is not how long it is held
}

void gate::hold(waiter& w) noexcept {
    w.held_ = true;
    w.origin_ = this;
    held_.push_back(w);
    if (board_ != nullptr) {
        counts().held_clients.fetch_add(1, std::memory_order_relaxed);
        counts().held_bytes.fetch_add(w.kept_bytes(), std::memory_order_relaxed);
    }
}

void gate::hold_all(waiter_list& from) noexcept {
    while (!from.empty()) {
        auto& w = from.front();
        from.pop_front();
        hold(w);
    }
}

void gate::unhold(waiter& w) noexcept {
    w.held_ = false;
    w.unlink();
    if (board_ != nullptr) {
        counts().held_clients.fetch_sub(1, std::memory_order_relaxed);
        counts().held_bytes.fetch_sub(w.kept_bytes(), std::memory_order_relaxed);
    }
}

void gate::end_hold(waiter& w) noexcept {
    unhold(w);
    if (board_ != nullptr) {
        counts().hold_times.add(now() - std::max(w.waiting_since(), hold_began_));
    }
}

void gate::note_hold(bool is_on) noexcept {
    if (!is_on) {
        hold_since_ = base::no_time;
    } else if (hold_since_ == base::no_time) {
        hold_since_ = hold_began_ = now();
    }
}

void gate::on_withdrawn(waiter& w) noexcept { end_hold(w); }

void gate::take_back(waiter& w) {
    if (removed_) {
        return w.on_refused(removal());
    }
    auto* s = way_of(w);
    next_ = nullptr;
    if (s != nullptr && !s->is_removed()) {
        waiter_list one;
        one.push_back(w);
        s->absorb(one);
    } else {
        hold(w);
        held_.sort(is_older);
    }
    if (w.is_waiting()) {
        w.on_hold_changed();
    }
}

void gate::refuse_held(const unavailable& why) {
    while (!held_.empty()) {
        auto& w = held_.front();
        end_hold(w);
        w.on_unavailable(why);
    }
}

unavailable gate::no_node() const {
    const auto& view = home_.sight_of(cluster_name_).view;
    unavailable u;
    u.sqlstate = "57P03";
    u.message = "no " +
                std::string{is_for_reading() ? "node of cluster \"" : "primary of cluster \""} +
                cluster_name_ + "\" can be used";
    if (view == nullptr) {
        u.detail = "The nodes have not been asked yet.";
        return u;
    }
    if (!is_for_reading()) {
        u.detail = std::string{"Cause: "} + cluster::to_string(view->view.why) + ". ";
    }
    u.detail += "Nodes: " + view->summary;
    u.hint =
        "SHOW NODES on the console of pgweir tells more; hold_timeout of the cluster says how "
        "long clients wait.";
    return u;
}

// --- what clients are told

std::shared_ptr<const std::string> gate::welcome_for(const settings* s) const {
    for (const auto& b : branches_) {
        if (auto known = b.where->welcome_for(s)) {
            return board_ == nullptr ? known
                                     : std::make_shared<const std::string>(promise_in(*known));
        }
    }
    return nullptr;
}

// With a cluster clients are told what their target promises, not what the node is that told.
std::string gate::promise_in(std::string welcome) const {
    // PostgreSQL before 14 does not tell.
    if (board_ != nullptr && welcome.find(standby_parameter) != std::string::npos) {
        const bool is_standby = is_for_reading() && key_.target != access_target::any;
        protocol::append_parameter_status(welcome, standby_parameter, is_standby ? "on" : "off");
    }
    return welcome;
}

std::string gate::learn_welcome(const settings_ptr& s, const parameter_set& parameters) {
    // The node that told it may be gone by now; any branch will do to remember it.
    (current_ != nullptr ? current_ : branches_.front().where)->learn_welcome(s, parameters);
    return promise_in(parameters.messages());
}

std::string gate::last_error() const {
    for (const auto& b : branches_) {
        if (current_ == nullptr || b.where == current_) {
            if (auto text = b.where->common().last_error(); !text.empty()) {
                return text;
            }
        }
    }
    return {};
}

directory::refusal gate::in_the_way() const noexcept {
    return current_ == nullptr ? directory::refusal::none : current_->in_the_way();
}

bool gate::has_waiters() const noexcept {
    return !held_.empty() || std::ranges::any_of(branches_, [](const branch& b) {
        return b.where->common().waiting.load() != 0;
    });
}

void gate::fill(metrics::report& r) const {
    metrics::pool_row row;
    row.database = key_.database;
    row.user = home_.user_of(key_.database, key_.role);
    row.mode = config::to_string(pool_.mode);
    row.clients_active = clients_active;
    row.clients_idle = clients_idle;
    row.clients_waiting = static_cast<unsigned>(held_.size());
    if (!held_.empty()) {
        row.longest_wait_us =
            static_cast<std::uint64_t>(std::chrono::duration_cast<std::chrono::microseconds>(
                                           base::steady::now() - held_.front().waiting_since())
                                           .count());
    }
    r.pools.push_back(std::move(row));
}

}  // namespace pgweir::pool
