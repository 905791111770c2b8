// The nodes of a cluster, and what happens to them.
#include "watch/cluster_watch.hpp"

#include "pgweir/base/log.hpp"

#include <boost/asio/post.hpp>

#include <algorithm>
#include <utility>

namespace pgweir::watch {
namespace {

using base::steady;
using cluster::no_time;

constexpr cluster::duration between_smells = std::chrono::milliseconds{50};

cluster::arbiter_settings rules_of(const config::cluster_settings& s) {
    cluster::arbiter_settings out;
    out.check_interval = s.check_interval;
    out.quick_interval = s.quick_interval;
    out.lease = s.lease;
    out.conflict_hold = s.conflict_hold;
    out.partition_grace = s.partition_grace;
    out.rogue_after = s.rogue_after;
    out.follower_silence = s.follower_silence;
    out.guard = static_cast<cluster::isolation_guard>(s.guard);
    out.start = static_cast<cluster::cold_start>(s.start);
    out.system_identifier = s.system_identifier;
    return out;
}

// The two enums are one list, in the configuration's words and in the arbiter's.
static_assert(static_cast<int>(config::isolation_guard::reject) ==
              static_cast<int>(cluster::isolation_guard::reject));
static_assert(static_cast<int>(config::cold_start::self) ==
              static_cast<int>(cluster::cold_start::self));

}  // namespace

cluster_watch::cluster_watch(surroundings around,
                             std::shared_ptr<cluster::board> board,
                             std::shared_ptr<smell_inbox> inbox,
                             const config::cluster_settings& settings,
                             const config::tcp_settings& tcp,
                             std::string state_path,
                             loaded_state loaded)
    : around_{around},
      board_{std::move(board)},
      inbox_{std::move(inbox)},
      settings_{settings},
      tcp_{tcp},
      rules_{rules_of(settings)},
      state_path_{std::move(state_path)},
      state_error_{std::move(loaded.error)},
      record_{loaded.state.granted},
      decision_timer_{around.io},
      smell_timer_{around.io},
      knock_timer_{around.io} {
    if (state_error_.empty()) {
        saved_ = loaded.state;
        judge_.emplace(rules_, std::vector<cluster::member>{}, std::move(loaded.state));
    }
    set_nodes(configured_nodes(settings_));
    warn_of_two_nodes();
    decide();
}

cluster_watch::~cluster_watch() {
    board_->primary.end();
    for (auto& n : nodes_) {
        retire(std::move(n));
    }
    auto last = std::make_shared<cluster::published_view>();
    last->serial = ++serial_;
    last->summary = "the cluster is not watched any more";
    board_->publish(std::move(last));
}

void cluster_watch::configure(const config::cluster_settings& settings,
                              const config::tcp_settings& tcp) {
    const bool had_two = nodes_.size() == 2;
    settings_ = settings;
    tcp_ = tcp;
    rules_ = rules_of(settings);
    std::vector<known_node> known;
    for (const auto& n : nodes_) {
        known.push_back(n->known);
    }
    set_nodes(reconfigure(known, settings_));
    for (const auto& n : nodes_) {
        n->probing->configure(probing_of(n->known));
    }
    if (!had_two) {
        warn_of_two_nodes();
    }
    decide();
}

void cluster_watch::warn_of_two_nodes() const {
    if (nodes_.size() == 2 && settings_.how == config::discovery::fixed) {
        PGWEIR_LOG(warn,
                   "cluster {} has two nodes: if the network between them fails, both may be "
                   "primaries, and pgweir follows the one it sees. Only synchronous replication "
                   "or a third node prevents that",
                   settings_.name);
    }
}

// ---- Nodes

// A node is known by its name while it stays at its address. One that has moved is another server
// until it has been asked: nothing that is known of the old one counts, and no connection to it.
void cluster_watch::set_nodes(std::vector<known_node> wanted) {
    auto old = std::exchange(nodes_, {});
    auto old_evidence = std::exchange(evidence_, {});
    for (auto& known : wanted) {
        const auto same = std::ranges::find_if(old, [&](const std::shared_ptr<node>& n) {
            return n != nullptr && n->known.name == known.name && n->known.host == known.host &&
                   n->known.port == known.port;
        });
        if (same != old.end()) {
            const auto i = static_cast<std::size_t>(same - old.begin());
            (*same)->known = std::move(known);
            nodes_.push_back(std::exchange(*same, nullptr));
            evidence_.push_back(std::move(old_evidence[i]));
        } else {
            nodes_.push_back(make_node(std::move(known)));
            evidence_.emplace_back();
        }
    }
    for (auto& n : old) {
        if (n != nullptr) {
            forget_server_of(*n);
            retire(std::move(n));
        }
    }
    configure_arbiter();
}

std::shared_ptr<cluster_watch::node> cluster_watch::make_node(known_node known) {
    auto made = std::make_shared<node>();
    auto& n = *made;
    n.known = std::move(known);
    n.probing = std::make_unique<prober>(
        around_.io, around_.names, "cluster " + settings_.name + ", node " + n.known.name,
        n.known.host, n.known.port, probing_of(n.known),
        prober::handlers{
            .probed = [this, &n](probe_outcome outcome) { on_probed(n, std::move(outcome)); },
            .knocked = [this, &n](bool is_there,
                                  cluster::time_point asked) { on_knocked(n, is_there, asked); },
            .resolved =
                [this, &n](std::vector<std::string> addresses) {
                    on_resolved(n, std::move(addresses));
                }});
    n.probing->start();
    return made;
}

// Nothing that was granted to the server it has been is good for the next one.
void cluster_watch::forget_server_of(node& n) {
    n.link->reads.store({});
    if (judge_) {
        if (judge_->state().granted == n.known.name) {
            board_->primary.end();
        }
        judge_->note_move(n.known.name);
    }
}

// Pooled connections go where it has answered. A name that leads to another address than before
// makes it another server, as a new address in the configuration does.
void cluster_watch::settle_at(node& n, const std::string& address) {
    if (n.address == address) {
        return;
    }
    if (!std::exchange(n.address, address).empty()) {
        PGWEIR_LOG(info, "cluster {}: node {} is now at {}", settings_.name, n.known.name, address);
        forget_server_of(n);
        n.link = std::make_shared<cluster::node_link>();
        evidence_[index_of(n)] = {};
    }
}

// Its prober may be the one that called.
void cluster_watch::retire(std::shared_ptr<node> old) {
    old->link->reads.store({});
    old->probing->stop();
    boost::asio::post(around_.io, [old = std::move(old)] {});
}

void cluster_watch::configure_arbiter() {
    if (judge_) {
        judge_->configure(rules_, members());
    }
}

std::vector<cluster::member> cluster_watch::members() const {
    const bool is_by_id = settings_.how == config::discovery::repmgr;
    std::vector<cluster::member> out;
    for (const auto& n : nodes_) {
        auto hosts = n->addresses;
        hosts.push_back(n->known.host);
        out.push_back({.name = n->known.name,
                       .hosts = std::move(hosts),
                       .port = n->known.port,
                       .repmgr_id = is_by_id ? n->known.repmgr_id : std::nullopt});
    }
    return out;
}

probe_settings cluster_watch::probing_of(const known_node& known) const {
    const bool asks_patroni = settings_.how == config::discovery::patroni;
    return {.user = settings_.monitor_user,
            .password = settings_.monitor_password,
            .database = settings_.monitor_database,
            .sslmode = settings_.monitor_sslmode,
            .sslrootcert = settings_.monitor_sslrootcert,
            .channel_binding = config::to_string(settings_.monitor_channel_binding),
            .uses_repmgr = settings_.how == config::discovery::repmgr,
            .patroni_port = asks_patroni ? known.patroni_port : std::uint16_t{0},
            .connect_timeout = settings_.connect_timeout,
            .probe_timeout = settings_.probe_timeout,
            .intervals = {.check = settings_.check_interval, .quick = settings_.quick_interval},
            .keepalive_idle = tcp_.keepalive_idle,
            .tcp_user_timeout = tcp_.user_timeout};
}

std::size_t cluster_watch::index_of(const node& n) const {
    return static_cast<std::size_t>(std::ranges::find(nodes_, &n, &std::shared_ptr<node>::get) -
                                    nodes_.begin());
}

std::vector<std::string> cluster_watch::names() const {
    std::vector<std::string> out;
    for (const auto& n : nodes_) {
        out.push_back(n->known.name);
    }
    return out;
}

// ---- What happens

void cluster_watch::on_probed(node& n, probe_outcome outcome) {
    const auto i = index_of(n);
    if (settings_.how == config::discovery::patroni) {
        heed_patroni(n, outcome);
    }
    if (outcome.report.result == cluster::contact::answered) {
        settle_at(n, outcome.address);
    }
    evidence_[i].apply(outcome.report);
    n.error = std::move(outcome.error);
    if (outcome.report.result == cluster::contact::answered) {
        n.took = outcome.took;
    }
    // Whatever ended this connection may have changed the roles of all.
    if (outcome.report.result == cluster::contact::reset) {
        recheck();
    }
    if (outcome.addresses) {
        discover_from(i, *outcome.addresses);
    }
    decide();
}

// A second witness: a server that says it is the primary is only taken for one that can be written
// to while its Patroni says that it holds the leader's lock. What Patroni says of the others counts
// as repmgr's metadata do.
void cluster_watch::heed_patroni(const node& n, probe_outcome& outcome) const {
    auto& report = outcome.report;
    if (!report.role) {
        return;
    }
    if (!report.role->in_recovery && !(outcome.patroni && outcome.patroni->holds_lock)) {
        report.role->read_only = true;
        outcome.error = outcome.patroni ? "its Patroni does not hold the leader's lock"
                                        : "its Patroni does not answer";
    }
    if (!outcome.patroni || !outcome.patroni->members) {
        return;
    }
    report.repmgr.emplace();
    outcome.addresses.emplace();
    for (const auto& m : *outcome.patroni->members) {
        const auto known = std::ranges::find_if(nodes_, [&](const std::shared_ptr<node>& other) {
            return other->known.name == m.name ||
                   (other->known.host == m.host && other->known.port == m.port);
        });
        const bool is_self = known != nodes_.end() && known->get() == &n;
        const bool leads =
            is_self ? outcome.patroni->holds_lock : m.is_leader && !outcome.patroni->is_unlocked;
        cluster::repmgr_row row;
        row.id = static_cast<int>(report.repmgr->nodes.size());
        row.name = known != nodes_.end() ? (*known)->known.name : m.name;
        row.type = leads ? "primary" : "standby";
        row.active = true;
        node_address address;
        address.name = row.name;
        address.type = row.type;
        address.host = m.host;
        address.port = m.port;
        address.api_port = m.api_port;
        report.repmgr->nodes.push_back(std::move(row));
        outcome.addresses->push_back(std::move(address));
    }
}

void cluster_watch::on_resolved(node& n, std::vector<std::string> addresses) {
    n.addresses = std::move(addresses);
    configure_arbiter();
}

// The served primary knows best. Before there is one, anybody who is not discredited may add a
// node: a first grant must not be given by a majority of the few that the configuration names.
void cluster_watch::discover_from(std::size_t i, const std::vector<node_address>& told) {
    if (settings_.how == config::discovery::fixed || !judge_) {
        return;
    }
    const auto& view = judge_->view();
    const bool is_primary = view.primary == i;
    if (!is_primary && (view.primary || (i < view.nodes.size() && view.nodes[i].cut))) {
        return;
    }
    std::vector<known_node> known;
    for (const auto& n : nodes_) {
        known.push_back(n->known);
    }
    auto wanted = discover(known, told, is_primary ? known[i].name : "");
    if (wanted != known) {
        set_nodes(std::move(wanted));
    }
}

void cluster_watch::recheck() {
    for (const auto& n : nodes_) {
        n->probing->probe_soon();
    }
}

void cluster_watch::on_smell() {
    answer_doubt();
    if (std::exchange(is_smell_due_, true)) {
        return;
    }
    const auto due = smelled_at_ == no_time ? cluster::duration::zero()
                                            : smelled_at_ + between_smells - steady::now();
    call_after(smell_timer_, due, &cluster_watch::look_into_inbox);
}

void cluster_watch::call_after(boost::asio::steady_timer& timer,
                               cluster::duration after,
                               void (cluster_watch::*what)()) {
    timer.expires_after(std::max(after, cluster::duration::zero()));
    timer.async_wait([this, what, alive = std::weak_ptr{alive_}](auto error) {
        if (!error && !alive.expired()) {
            (this->*what)();
        }
    });
}

// A connection to the primary broke, and its lease is suspended until it has let us in again.
void cluster_watch::answer_doubt() {
    const auto& view = told_.view;
    if (view.primary && board_->primary.is_doubted()) {
        nodes_[*view.primary]->probing->knock();
    }
}

void cluster_watch::on_knocked(const node& n, bool is_there, cluster::time_point asked) {
    const auto now = steady::now();
    const auto is_primary = told_.view.primary == index_of(n);
    if (is_primary && is_there && board_->primary.dispel(asked, now)) {
        PGWEIR_LOG(debug, "cluster {}: {} has lost a connection, and lives", settings_.name,
                   n.known.name);
        is_relieved_ = true;
        decide();
    } else if (board_->primary.is_doubted()) {
        call_after(knock_timer_, is_there ? cluster::duration::zero() : rules_.quick_interval,
                   &cluster_watch::answer_doubt);
    }
}

void cluster_watch::look_into_inbox() {
    is_smell_due_ = false;
    smelled_at_ = steady::now();
    const auto found = inbox_->take();
    for (std::size_t i = 0; i < nodes_.size(); ++i) {
        for (const auto& e : found.entries) {
            if (e.node != nodes_[i]->known.name) {
                continue;
            }
            evidence_[i].note_smell(e.smelled);
            if (e.in_recovery != no_time) {
                evidence_[i].note_recovery(e.in_recovery);
            }
        }
        if (found.is_incomplete) {
            evidence_[i].note_smell(smelled_at_);
        }
    }
    recheck();
    decide();
}

}  // namespace pgweir::watch
