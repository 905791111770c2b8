// One cluster on the watch thread: its nodes are probed, the arbiter decides, the board is told.
#pragma once

#include "pgweir/cluster/arbiter.hpp"
#include "pgweir/cluster/board.hpp"
#include "pgweir/config/snapshot.hpp"
#include "pgweir/metrics/report.hpp"
#include "pgweir/watch/name_lookup.hpp"
#include "pgweir/watch/watcher.hpp"
#include "watch/discovery.hpp"
#include "watch/failover_log.hpp"
#include "watch/prober.hpp"
#include "watch/service_record.hpp"
#include "watch/smell_inbox.hpp"
#include "watch/transitions.hpp"

#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>

#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace pgweir::watch {

// Lives on the watch thread. Whatever it grants is on disk before anybody sees it.
class cluster_watch {
public:
    // What all clusters share.
    struct surroundings {
        boost::asio::io_context& io;
        name_lookup& names;
        failover_log& log;
    };
    // As read by load_state(), or why it could not be: then the cluster is held.
    struct loaded_state {
        cluster::cluster_state state;
        std::string error;
    };

    cluster_watch(surroundings around,
                  std::shared_ptr<cluster::board> board,
                  std::shared_ptr<smell_inbox> inbox,
                  const config::cluster_settings& settings,
                  const config::tcp_settings& tcp,
                  std::string state_path,
                  loaded_state loaded);
    // Nothing is granted any more.
    ~cluster_watch();
    cluster_watch(const cluster_watch&) = delete;
    cluster_watch& operator=(const cluster_watch&) = delete;

    void configure(const config::cluster_settings& settings, const config::tcp_settings& tcp);
    void recheck();
    [[nodiscard]] order_outcome carry_out(const order& o);
    // Workers have smelled something. Looks into the inbox 20 times a second at most.
    void on_smell();
    void report(metrics::report& out) const;

private:
    struct node {
        known_node known;
        std::shared_ptr<cluster::node_link> link = std::make_shared<cluster::node_link>();
        std::unique_ptr<prober> probing;
        std::vector<std::string> addresses;  // its name leads to them
        std::string address;                 // it has answered there; empty: nowhere yet
        std::string error;                   // of the last probe
        cluster::duration took{};            // of the last answer
    };

    // Nodes.
    void set_nodes(std::vector<known_node> wanted);
    std::shared_ptr<node> make_node(known_node known);
    void retire(std::shared_ptr<node> old);
    void settle_at(node& n, const std::string& address);
    void forget_server_of(node& n);
    void configure_arbiter();
    [[nodiscard]] std::vector<cluster::member> members() const;
    [[nodiscard]] probe_settings probing_of(const known_node& known) const;
    [[nodiscard]] std::size_t index_of(const node& n) const;
    void warn_of_two_nodes() const;

    // What happens.
    void on_probed(node& n, probe_outcome outcome);
    void on_resolved(node& n, std::vector<std::string> addresses);
    void on_knocked(const node& n, bool is_there, cluster::time_point asked);
    void heed_patroni(const node& n, probe_outcome& outcome) const;
    void discover_from(std::size_t i, const std::vector<node_address>& told);
    void look_into_inbox();
    void answer_doubt();

    // What follows.
    void call_after(boost::asio::steady_timer& timer,
                    cluster::duration after,
                    void (cluster_watch::*what)());
    void decide();
    void save();
    [[nodiscard]] bool is_grant_saved() const;
    void publish(cluster::cluster_view view);
    void log_transitions(const cluster::cluster_view& view);
    void follow_pace(const cluster::cluster_view& view);
    void add_row(const char* event, const std::string& text, const std::string& evidence);
    [[nodiscard]] std::string evidence_now() const;
    [[nodiscard]] std::string summary_of(const cluster::cluster_view& view) const;
    [[nodiscard]] std::vector<std::string> names() const;

    // Rows.
    [[nodiscard]] metrics::node_row row_of(std::size_t i, cluster::time_point now) const;
    [[nodiscard]] std::string upstream_of(std::size_t i) const;
    [[nodiscard]] std::string sync_state_of(std::size_t i) const;
    [[nodiscard]] order_outcome refused(const order& o, cluster::verb_result why) const;

    surroundings around_;
    const std::shared_ptr<cluster::board> board_;
    const std::shared_ptr<smell_inbox> inbox_;
    config::cluster_settings settings_;
    config::tcp_settings tcp_;
    cluster::arbiter_settings rules_;

    std::vector<std::shared_ptr<node>> nodes_;
    std::vector<cluster::node_evidence> evidence_;  // parallel to nodes_
    std::optional<cluster::arbiter> judge_;         // absent while the state cannot be read

    const std::string state_path_;
    std::optional<cluster::cluster_state> saved_;  // as it is on disk; absent: it is not
    std::string state_error_;                      // why it cannot be read or written; else empty
    cluster::time_point save_again_ = cluster::no_time;

    told_view told_;  // what the log has told last
    std::uint64_t serial_ = 0;
    service_record record_;
    boost::asio::steady_timer decision_timer_;
    boost::asio::steady_timer smell_timer_;
    boost::asio::steady_timer knock_timer_;
    // A timer that was due already calls, whatever has become of it since.
    std::shared_ptr<char> alive_ = std::make_shared<char>();
    bool is_smell_due_ = false;
    bool is_relieved_ = false;  // a doubt is over, and workers have not been told
    cluster::time_point smelled_at_ = cluster::no_time;  // the inbox was last looked into
};

}  // namespace pgweir::watch
