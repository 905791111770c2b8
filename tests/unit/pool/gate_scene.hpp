// A database with a cluster of three nodes, each a PostgreSQL that the test plays, on one worker.
// The test says what the watch thread has decided.
#pragma once

#include "pgweir/pool/gate.hpp"
#include "pool/pool_scene.hpp"

#include <array>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace pgweir::pool {

// A client of a gate. As customer, and it notes what it is told beyond that.
struct visitor final : waiter {
    lease server;
    std::optional<connect_failure> refusal;
    std::optional<unavailable> sent_on;
    bool was_revoked = false;
    unsigned standing_told = 0;
    unsigned hold_told = 0;
    std::uint64_t key = 0;

    void on_server(lease s) override { server = std::move(s); }
    void on_refused(const connect_failure& why) override { refusal = why; }
    void on_unavailable(const unavailable& why) override { sent_on = why; }
    void on_hold_changed() override { ++hold_told; }
    void on_server_io() override {}
    void on_server_revoked() override {
        was_revoked = true;
        server.release(false, false, false);
    }
    void on_server_standing() override { ++standing_told; }
    [[nodiscard]] std::uint64_t user_id() const noexcept override { return 1; }
    [[nodiscard]] protocol::client_statements* statements() noexcept override { return nullptr; }
    [[nodiscard]] std::uint64_t balance_key() const noexcept override { return key; }

    [[nodiscard]] bool is_served() const noexcept { return static_cast<bool>(server); }
};

class gate_scene : public ::testing::Test {
protected:
    using target = config::access_target;
    using node_state = cluster::node_state;

    gate_scene() {
        all_.pools.freed = [this](shelf& s) { slices::on_freed(all_, s); };
        all_.board_of = [this](const std::string& name) {
            return name == "main" ? board_ : other_board_;
        };
        pools_ = std::make_unique<slices>(all_, thread_.loop, 0);
        all_.workers.push_back(pools_.get());
        auto& c = snapshot_.clusters["main"];
        c.name = "main";
        c.min_standby_servers = 0;
        c.slow_start = std::chrono::milliseconds{0};
        snapshot_.clusters["other"] = c;
        snapshot_.clusters["other"].name = "other";
        auto& d = snapshot_.databases["shop"];
        d.name = "shop";
        d.cluster = "main";
        auto& u = snapshot_.users["alice"];
        u.name = "alice";
        u.password = base::secret{password};
        for (auto& l : links_) {
            l = std::make_shared<cluster::node_link>();
        }
        view_.nodes.resize(3);
        for (auto& n : view_.nodes) {
            n.state = node_state::standby;
            n.reads = cluster::read_quality::good;
        }
        view_.why = cluster::cause::starting;
    }
    ~gate_scene() override {
        thread_.stop();
        all_.keys.stop();
        all_.names.stop();
        all_.pools.freed = nullptr;
        visitors_.clear();
        pools_.reset();
    }

    config::cluster_settings& main() { return snapshot_.clusters["main"]; }
    config::pool_settings& pool() { return snapshot_.databases["shop"].pool; }

    // --- what the watch thread decides; publish() makes it known
    void grant(std::size_t node) {
        ++view_.epoch;
        view_.why = cluster::cause::none;
        view_.writes = cluster::write_mode::serve;
        if (view_.primary && *view_.primary != node) {
            cut(*view_.primary);
        }
        view_.primary = node;
        view_.nodes[node] = {};
        view_.nodes[node].state = node_state::primary;
        renew();
        publish();
    }
    void renew(base::duration lease = 2s) {
        view_.lease_until = net::manual_clock::now() + lease;
        store_words();
    }
    void doubt(cluster::write_mode mode = cluster::write_mode::hold) {
        view_.primary.reset();
        view_.writes = mode;
        view_.why = cluster::cause::suspect;
        publish();
    }
    void cut(std::size_t node) {
        view_.nodes[node].state = node_state::fenced;
        view_.nodes[node].reads = cluster::read_quality::none;
        view_.nodes[node].cut = true;
    }
    void publish() {
        store_words();
        auto v = std::make_shared<cluster::published_view>();
        v->serial = ++serial_;
        v->view = view_;
        for (std::size_t i = 0; i < 3; ++i) {
            v->nodes.push_back({"n" + std::to_string(i + 1), nodes_[i].folder(),
                                scripted_postgres::port, weights_[i], links_[i],
                                addresses_[i].value_or(nodes_[i].folder())});
        }
        v->summary = "n1, n2, n3";
        board_->publish(v);
        thread_.call([&] { pools_->on_view("main", v); });
        settle();
    }

    // --- time
    void settle() {
        for (int round = 0; round < 4; ++round) {
            thread_.call([] {});
        }
    }
    void pass(base::duration time) {
        net::manual_clock::advance(time);
        settle();
    }

    // --- clients
    visitor& newcomer(target wanted = target::primary, std::uint64_t key = 0) {
        auto& v = *visitors_.emplace_back(std::make_unique<visitor>());
        v.key = key;
        on(wanted, [&](gate& g) {
            if (auto server = g.acquire(v, all_.settings.none())) {
                v.on_server(std::move(server));
            }
        });
        settle();
        return v;
    }
    std::pair<visitor*, backend> served_newcomer(std::size_t node,
                                                 target wanted = target::primary) {
        auto& v = newcomer(wanted);
        auto b = nodes_[node].let_in();
        settle();
        return {&v, std::move(b)};
    }
    void give_back(visitor& v) {
        thread_.call([&v] { v.server.release(true, false, false); });
        settle();
    }
    template <class Function>
    std::invoke_result_t<Function, gate&> on(target wanted, Function f) {
        return thread_.call([this, wanted, &f] {
            return f(pools_->open(gate_key{"shop", "alice", wanted}, snapshot_));
        });
    }
    // Gives back what is lent.
    bool lends_at_once(target wanted = target::primary) {
        return on(wanted, [this](gate& g) {
            visitor anybody;
            auto taken = g.take_ready(anybody, all_.settings.none().get());
            const bool is_lent = static_cast<bool>(taken);
            taken.release(true, false, false);
            return is_lent;
        });
    }
    // As clients ask before they read a request.
    bool has_ready() {
        return on(target::primary, [this](gate& g) {
            const visitor anybody;
            return g.has_ready(anybody, all_.settings.none().get());
        });
    }
    // A reload of `snapshot_`.
    void reload() {
        thread_.call([this] { pools_->configure(snapshot_); });
        settle();
    }
    void set_paused(bool paused) {
        thread_.call([this, paused] { pools_->set_paused("shop", paused); });
        settle();
    }
    bool may_begin(visitor& v) {
        return thread_.call([&v] { return v.server->may_begin(); });
    }

    std::array<scripted_postgres, 3> nodes_;
    std::array<unsigned, 3> weights_{100, 100, 100};
    std::array<std::optional<std::string>, 3> addresses_;  // else where the node is
    config::snapshot snapshot_;
    slices::shared all_;
    cluster::cluster_view view_;
    std::shared_ptr<cluster::board> board_ = std::make_shared<cluster::board>();
    // Of a cluster "other", of which nothing is known.
    std::shared_ptr<cluster::board> other_board_ = std::make_shared<cluster::board>();

private:
    void store_words() {
        board_->primary.publish(view_, net::manual_clock::now(), 2s);
        for (std::size_t i = 0; i < 3; ++i) {
            const bool readable =
                view_.nodes[i].reads != cluster::read_quality::none && !view_.nodes[i].cut;
            links_[i]->reads.store(readable
                                       ? cluster::lease_word{cluster::stamp_of(view_.epoch + 1, i),
                                                             net::manual_clock::now() + 2s}
                                       : cluster::lease_word{});
        }
    }

    std::array<std::shared_ptr<cluster::node_link>, 3> links_;
    std::uint64_t serial_ = 0;
    net::loop_thread thread_{net::manual_clock::now};
    std::unique_ptr<slices> pools_;
    std::vector<std::unique_ptr<visitor>> visitors_;
};

}  // namespace pgweir::pool
