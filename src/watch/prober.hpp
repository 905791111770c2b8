// Probes one node, again and again, and notices at once when its connection ends.
#pragma once

#include "pgweir/base/secret.hpp"
#include "pgweir/config/snapshot.hpp"
#include "pgweir/watch/name_lookup.hpp"
#include "pgweir/watch/postgres_link.hpp"
#include "watch/http_get.hpp"
#include "watch/knocker.hpp"
#include "watch/pacing.hpp"
#include "watch/patroni_reply.hpp"
#include "watch/probe_query.hpp"
#include "watch/probe_reply.hpp"

#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace pgweir::watch {

// How the monitor logs in and how patient it is.
struct probe_settings {
    std::string user;
    base::secret password;
    std::string database;
    std::string sslmode;          // as libpq's
    std::string sslrootcert;      // likewise; empty: none
    std::string channel_binding;  // likewise
    bool uses_repmgr = false;
    std::uint16_t patroni_port = 0;  // 0: Patroni is not asked
    cluster::duration connect_timeout{};
    cluster::duration probe_timeout{};
    probe_intervals intervals;
    std::chrono::seconds keepalive_idle{};
    std::chrono::milliseconds tcp_user_timeout{};  // 0: the kernel's default

    friend bool operator==(const probe_settings&, const probe_settings&) = default;
};

// One probe, whole.
struct probe_outcome {
    cluster::probe_report report;
    std::optional<std::vector<node_address>> addresses;  // of repmgr's nodes
    std::optional<patroni_facts> patroni;                // absent: it has not told
    std::string address;                                 // numeric; where it answered
    std::string error;                                   // why it failed; empty: it did not
    cluster::duration took{};                            // of an answer
    bool was_idle = false;  // nothing was asked: the connection ended by itself
};

class prober {
public:
    struct handlers {
        std::function<void(probe_outcome)> probed;
        // See knock().
        knocker::handler knocked;
        // What the node's name leads to, when that is new.
        std::function<void(std::vector<std::string> addresses)> resolved;
    };

    // `label`: for log lines. The handlers are called on the io_context's thread, never from within
    // a public method. They must not end its life; they may stop it. It begins when told to.
    prober(boost::asio::io_context& io,
           name_lookup& names,
           std::string label,
           std::string host,
           std::uint16_t port,
           probe_settings settings,
           handlers on);
    prober(const prober&) = delete;
    prober& operator=(const prober&) = delete;

    void start() { schedule(); }
    // Closes its connection. No handler is called any more.
    void stop() noexcept;
    // Another login begins with the next probe.
    void configure(probe_settings settings);
    void set_pace(cluster::pace pace);
    // A probe that begins from now on, as soon as the one under way is over.
    void probe_soon();
    // Whether the node lets somebody in, beside the probes and on a connection of its own: what
    // answers on the one that is kept may be all that is left of a server. Does nothing while such
    // an attempt is under way, or before the node was ever connected to.
    void knock();

    // How many probes ended so.
    [[nodiscard]] std::uint64_t probes(cluster::contact result) const noexcept {
        return results_[static_cast<std::size_t>(result)];
    }

private:
    enum class phase : std::uint8_t { resting, resolving, connecting, asking };

    void schedule();
    void set_timer(cluster::duration after, void (prober::*then)());
    void begin();
    void resolve();
    void on_resolved(name_lookup::result found);
    void use_old_addresses();
    void connect();
    void connect_to_next();
    void on_connected();
    void ask();
    void send_batch();
    void ask_patroni();
    void get_from_patroni(std::string path, void (prober::*then)(http_answer));
    void on_patroni_status(http_answer answer);
    void on_patroni_members(http_answer answer);
    void end_patroni();
    void on_answered(batch_result batch);
    bool make_do_without(std::size_t index, const batch_result::error& error);
    void tell_once(part p, std::string_view sqlstate);
    void read(const batch_result& batch);
    void on_lost(refusal why);
    void on_timeout();
    void fail(cluster::contact how, cluster::time_point asked, std::string error);
    void tell_denial(const std::string& error);
    void finish(probe_outcome outcome);
    // What is refused, or closed, or full at another address than before says nothing of the server
    // there: the name may lead elsewhere now.
    [[nodiscard]] bool is_at_known_address() const {
        return known_at_.empty() || address_ == known_at_;
    }
    [[nodiscard]] cluster::contact said_by_it(cluster::contact how) const {
        return is_at_known_address() ? how : cluster::contact::silent;
    }
    [[nodiscard]] cluster::contact said_at_the_end() const;
    [[nodiscard]] postgres_link::parameters parameters_for(const std::string& address) const;

    boost::asio::io_context& io_;
    name_lookup& names_;
    const std::string label_;
    const std::string host_;
    const std::uint16_t port_;
    probe_settings settings_;
    handlers on_;
    boost::asio::steady_timer timer_;
    postgres_link link_;
    knocker door_;
    std::shared_ptr<char> alive_ = std::make_shared<char>();
    std::shared_ptr<char> alarm_;  // of the timer as it is set: an older one is void

    bool is_stopped_ = false;
    phase phase_ = phase::resting;
    cluster::pace pace_ = cluster::pace::quick;
    bool is_wanted_soon_ = false;
    cluster::time_point begun_ = cluster::no_time;  // the last probe
    cluster::time_point asked_ = cluster::no_time;  // its questions were sent

    bool is_looking_up_ = false;
    bool is_name_bad_ = false;  // the last look-up failed, or is late; logged
    std::vector<std::string> addresses_;
    std::size_t tried_ = 0;  // addresses of this probe
    cluster::contact worst_ = cluster::contact::none;

    std::vector<part> parts_;  // asked for
    part_set lacking_;         // refused, until somebody grants them
    cluster::time_point lacking_since_ = cluster::no_time;
    part_set skipped_;    // failed in this probe
    part_set told_;       // the operator knows that these are missing
    std::string denial_;  // logged last
    bool is_second_try_ = false;
    sender_silence silence_;
    std::string address_;                                     // that the link leads to
    std::string known_at_;                                    // where it has answered last
    cluster::contact known_result_ = cluster::contact::none;  // there, in this probe
    std::shared_ptr<char> patroni_asked_;   // what is asked of it in this probe; null: nothing
    std::optional<patroni_facts> patroni_;  // told so far
    std::optional<probe_outcome> waiting_;  // for Patroni
    std::array<std::uint64_t, cluster::contact_count> results_{};
};

}  // namespace pgweir::watch
