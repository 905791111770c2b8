// A cluster of PostgreSQL nodes with repmgr as the arbiter's tests need it: what it is, and what a
// monitor sees of it.
#pragma once

#include "pgweir/cluster/arbiter.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <functional>
#include <optional>
#include <ostream>
#include <string>
#include <vector>

namespace pgweir::cluster {

using namespace std::chrono_literals;

inline void PrintTo(cause c, std::ostream* out) { *out << to_string(c); }
inline void PrintTo(write_mode m, std::ostream* out) { *out << to_string(m); }
inline void PrintTo(node_state s, std::ostream* out) { *out << to_string(s); }
inline void PrintTo(node_reason r, std::ostream* out) { *out << to_string(r); }
inline void PrintTo(read_quality q, std::ostream* out) { *out << to_string(q); }
inline void PrintTo(verb_result r, std::ostream* out) { *out << to_string(r); }

// Nodes n1, n2, ... have the indices 0, 1, ...
inline constexpr std::size_t n1 = 0;
inline constexpr std::size_t n2 = 1;
inline constexpr std::size_t n3 = 2;
inline constexpr std::size_t n4 = 3;
inline constexpr std::size_t n5 = 4;

inline constexpr std::uint64_t system_of_cluster = 7'000'000'000'000'000'001U;

// One server. Tests may set anything at any time.
struct sim_node {
    bool up = true;
    bool frozen = false;                 // SIGSTOP: connections stay, nothing answers
    bool visible = true;                 // from pgweir; else what is sent there is lost
    contact answer = contact::answered;  // full, denied, starting_up: instead of an answer
    bool in_recovery = true;
    bool read_only = false;
    bool replay_paused = false;
    timeline tli = 1;
    lsn position = 1'000;
    lsn replayed = 1'000;
    std::uint64_t system = system_of_cluster;
    std::int64_t started = 0;
    std::optional<std::size_t> upstream;  // configured; it streams while it can
    std::optional<int> local_id;
    std::vector<repmgr_row> table;  // repmgr.nodes
};

class world {
public:
    // n1 is the primary on timeline 1, the others stream from it. Nothing has been probed yet.
    explicit world(std::size_t size, arbiter_settings settings = {}, cluster_state state = {})
        : nodes(size), evidence(size), settings_{settings}, probes_(size), heard_(size) {
        for (std::size_t i = 0; i < size; ++i) {
            member m;
            m.name = name_of(i);
            m.hosts = {"127.0.0.1"};
            m.port = static_cast<std::uint16_t>(6001 + i);
            m.repmgr_id = static_cast<int>(i) + 1;
            members.push_back(m);
            nodes[i].started = static_cast<std::int64_t>(i) + 1;
            nodes[i].local_id = m.repmgr_id;
            nodes[i].upstream = i == 0 ? std::nullopt : std::optional<std::size_t>{0};
            heard_[i].assign(size, now);
        }
        nodes[0].in_recovery = false;
        for (auto& node : nodes) {
            for (std::size_t i = 0; i < size; ++i) {
                node.table.push_back({.id = static_cast<int>(i) + 1,
                                      .name = name_of(i),
                                      .type = i == 0 ? "primary" : "standby",
                                      .active = true,
                                      .upstream = {}});
            }
        }
        judge.emplace(settings_, members, std::move(state));
    }

    static std::string name_of(std::size_t i) { return "n" + std::to_string(i + 1); }

    // ---- What happens to nodes

    void crash(std::size_t i) { nodes[i].up = false; }
    void freeze(std::size_t i) { nodes[i].frozen = true; }
    void thaw(std::size_t i) { nodes[i].frozen = false; }
    void hide(std::size_t i) { nodes[i].visible = false; }
    void show(std::size_t i) { nodes[i].visible = true; }
    // As docker restart does: it comes up as what it was.
    void restart(std::size_t i) {
        nodes[i].up = true;
        nodes[i].frozen = false;
        nodes[i].started += 100;
    }
    // The bare pg_promote().
    void promote(std::size_t i) {
        nodes[i].in_recovery = false;
        nodes[i].upstream.reset();
        nodes[i].tli += 1;
    }
    // What repmgr writes after it has promoted node i.
    void register_primary(std::size_t i) {
        for (auto& row : nodes[i].table) {
            if (row.id == static_cast<int>(i) + 1) {
                row.type = "primary";
                row.active = true;
            } else if (row.type == "primary") {
                row.active = false;
            }
        }
    }
    void follow(std::size_t i, std::size_t primary) {
        nodes[i].in_recovery = true;
        nodes[i].upstream = primary;
    }
    // repmgr node rejoin.
    void rejoin(std::size_t i, std::size_t primary) {
        restart(i);
        follow(i, primary);
        nodes[i].tli = nodes[primary].tli;
    }
    // The whole of a failover by repmgr to i.
    void fail_over(std::size_t i, const std::vector<std::size_t>& followers) {
        promote(i);
        register_primary(i);
        for (const auto f : followers) {
            follow(f, i);
        }
    }
    void partition(std::size_t a, std::size_t b) { cut_.push_back({a, b}); }
    void heal_partitions() { cut_.clear(); }

    // ---- What pgweir sees of it

    // Probes all nodes as the arbiter wants them probed, and lets it decide, for this long.
    const cluster_view& run(duration time) {
        const auto end = now + time;
        while (now < end && !::testing::Test::HasFatalFailure()) {
            step();
        }
        return view();
    }
    // Until writes are served, or as long as it may take.
    const cluster_view& run_until_served(duration at_most = 30s) {
        const auto end = now + at_most;
        do {
            step();
        } while (now < end && view().writes != write_mode::serve);
        return view();
    }
    void step() {
        now += tick;
        replicate();
        bool is_news = now >= view().ask_again;
        for (std::size_t i = 0; i < nodes.size(); ++i) {
            is_news = probe(i) || is_news;
        }
        if (is_news) {
            judge->decide(evidence, now);
            if (view().probes == pace::at_once) {
                for (auto& p : probes_) {
                    p.due = now;
                }
            }
            if (after_decision) {
                after_decision();
            }
        }
    }
    std::function<void()> after_decision;

    // pgweir is started again, with what it has on disk.
    void restart_pgweir() {
        auto text = to_text(judge->state());
        judge.emplace(settings_, members, std::get<cluster_state>(parse_state(text)));
        evidence.assign(nodes.size(), {});
        probes_.assign(nodes.size(), {});
    }
    void set_settings(const arbiter_settings& s) {
        settings_ = s;
        judge->configure(settings_, members);
    }
    void reconfigure() { judge->configure(settings_, members); }
    verb_result force(std::size_t i) {
        const auto result = judge->force_primary(name_of(i), evidence, now);
        judge->decide(evidence, now);
        return result;
    }

    [[nodiscard]] const cluster_view& view() const { return judge->view(); }
    [[nodiscard]] const node_view& view(std::size_t i) const { return view().nodes[i]; }
    // "n2", or why there is none.
    [[nodiscard]] std::string primary() const {
        return view().primary ? name_of(*view().primary)
                              : std::string{"none: "} + to_string(view().why);
    }
    [[nodiscard]] bool is_streaming(std::size_t i) const {
        const auto up = nodes[i].upstream;
        return nodes[i].in_recovery && up && nodes[*up].up && nodes[i].up &&
               nodes[i].tli == nodes[*up].tli;
    }
    [[nodiscard]] bool is_linked(std::size_t a, std::size_t b) const {
        return std::ranges::none_of(cut_, [&](const auto& c) {
            return (c.first == a && c.second == b) || (c.first == b && c.second == a);
        });
    }

    std::vector<sim_node> nodes;
    std::vector<member> members;
    std::vector<node_evidence> evidence;
    std::optional<arbiter> judge;
    time_point now = time_point{1h};
    bool has_repmgr = true;
    bool has_traffic = true;
    bool knows_addresses = true;  // false: standbys name their sender in a way of their own

private:
    static constexpr duration tick = 10ms;
    static constexpr duration probe_timeout = 500ms;

    struct in_flight {
        std::optional<probe_report> report;
        time_point done;
        time_point begun = no_time;
        time_point due = no_time;
    };

    [[nodiscard]] bool is_alive(std::size_t i) const { return nodes[i].up && !nodes[i].frozen; }

    // Standbys take over timeline and metadata of whom they stream from.
    void replicate() {
        for (std::size_t i = 0; i < nodes.size(); ++i) {
            const auto up = nodes[i].upstream;
            if (!nodes[i].in_recovery || !up || !is_alive(i) || !is_alive(*up) ||
                !is_linked(i, *up) || nodes[i].tli > nodes[*up].tli) {
                continue;
            }
            nodes[i].tli = nodes[*up].tli;
            nodes[i].table = nodes[*up].table;
            if (has_traffic) {
                heard_[i][*up] = now;
            }
        }
    }

    // Ends or begins a probe. True when the evidence has changed.
    bool probe(std::size_t i) {
        auto& p = probes_[i];
        bool is_news = false;
        if (p.report && now >= p.done) {
            evidence[i].apply(*p.report);
            is_news = p.report->result != contact::none;
            p.report.reset();
        }
        if (view().probes != pace::normal) {
            p.due = std::min(p.due, p.begun + settings_.quick_interval);
        }
        if (!p.report && now >= p.due) {
            p.begun = now;
            p.report = look(i);
            p.done = now + (p.report->result == contact::silent ? probe_timeout : tick);
            p.due = now + settings_.check_interval;
        }
        return is_news;
    }

    [[nodiscard]] probe_report look(std::size_t i) const {
        const auto& node = nodes[i];
        probe_report report;
        report.asked = now;
        if (!node.visible || (node.frozen && node.up)) {
            report.result = contact::silent;
        } else if (!node.up) {
            report.result = contact::refused;
        } else {
            report.result = node.answer;
        }
        if (report.result == contact::answered) {
            tell(i, report);
        }
        return report;
    }

    void tell(std::size_t i, probe_report& report) const {
        const auto& node = nodes[i];
        role_facts role;
        role.in_recovery = node.in_recovery;
        role.read_only = node.read_only;
        role.system_identifier = node.system;
        role.tli = node.tli;
        role.position = node.position;
        role.replayed = node.in_recovery ? node.replayed : 0;
        role.replay_paused = node.replay_paused;
        role.postmaster_started = node.started;
        report.role = role;

        receiver_facts receiver;
        receiver.streaming = is_streaming(i);
        if (receiver.streaming) {
            receiver.tli = node.tli;
            receiver.sender_host = knows_addresses ? "127.0.0.1" : "elsewhere";
            receiver.sender_port = members[*node.upstream].port;
            receiver.silence = now - heard_[i][*node.upstream];
        }
        report.receiver = receiver;

        sender_facts senders;
        for (std::size_t j = 0; j < nodes.size(); ++j) {
            if (nodes[j].upstream == i && is_streaming(j)) {
                senders.senders.push_back(
                    {.name = name_of(j),
                     .slot = {},
                     .streaming = true,
                     .silence = is_alive(j) && is_linked(i, j) ? duration::zero() : duration{20s}});
            }
        }
        report.senders = senders;
        if (has_repmgr) {
            report.repmgr = repmgr_facts{
                .asked = now, .local_id = node.local_id, .term = 1, .nodes = node.table};
        }
    }

    arbiter_settings settings_;
    std::vector<in_flight> probes_;
    std::vector<std::vector<time_point>> heard_;
    std::vector<std::pair<std::size_t, std::size_t>> cut_;
};

}  // namespace pgweir::cluster
