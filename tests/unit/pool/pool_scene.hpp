// A pool on one or several workers with their own threads, a PostgreSQL that the test plays, and a
// clock that the test moves.
#pragma once

#include "net/manual_clock.hpp"
#include "net/sockets.hpp"
#include "pgweir/pool/slice.hpp"
#include "pool/scripted_postgres.hpp"

#include <gtest/gtest.h>

#include <chrono>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

namespace pgweir::pool {

using namespace std::chrono_literals;
using state = metrics::server_state;

// A client that waits for a server and keeps it. Its members are its worker's; the test may look
// at them after pool_scene::settle().
struct customer final : waiter {
    unsigned worker = 0;
    lease server;
    std::optional<connect_failure> refusal;
    std::function<void()> once_served = [] {};

    void on_server(lease s) override {
        server = std::move(s);
        once_served();
    }
    void on_refused(const connect_failure& why) override { refusal = why; }
    void on_server_io() override {}
    [[nodiscard]] std::uint64_t user_id() const noexcept override { return 1; }
    [[nodiscard]] protocol::client_statements* statements() noexcept override { return nullptr; }

    [[nodiscard]] bool is_served() const noexcept { return static_cast<bool>(server); }
};

class pool_scene : public ::testing::Test {
protected:
    explicit pool_scene(unsigned workers = 1) {
        all_.pools.freed = [this](shelf& s) { slices::on_freed(all_, s); };
        for (unsigned i = 0; i < workers; ++i) {
            threads_.push_back(std::make_unique<net::loop_thread>(net::manual_clock::now));
            pools_.push_back(std::make_unique<slices>(all_, threads_[i]->loop, i));
            all_.workers.push_back(pools_[i].get());
        }
        auto& d = snapshot_.databases["shop"];
        d.name = "shop";
        d.host = postgres_.folder();
        d.port = scripted_postgres::port;
        auto& u = snapshot_.users["alice"];
        u.name = "alice";
        u.password = base::secret{password};
    }
    ~pool_scene() override {
        for (const auto& t : threads_) {
            t->stop();
        }
        all_.keys.stop();
        all_.names.stop();
        all_.handshakes.stop();
        all_.pools.freed = nullptr;
        customers_.clear();
        pools_.clear();  // before the loops that their servers are on
        threads_.clear();
    }

    // --- the configuration; takes effect with the first client, or with reload()
    config::database_settings& database() { return snapshot_.databases["shop"]; }
    config::pool_settings& pool() { return database().pool; }
    void reload() {
        for (std::size_t i = 0; i < threads_.size(); ++i) {
            threads_[i]->call([this, i] { pools_[i]->configure(snapshot_); });
        }
        settle();
    }

    // What a worker does now and then.
    void sweep(unsigned worker = 0) {
        threads_[worker]->call([this, worker] { (void)pools_[worker]->sweep(snapshot_); });
    }

    // --- time
    // Lets the workers do all they can do now.
    void settle() {
        for (int round = 0; round < 4; ++round) {
            for (const auto& t : threads_) {
                t->call([] {});
            }
        }
    }
    void pass(base::duration time) {
        net::manual_clock::advance(time);
        settle();
    }
    // The same, but time passes for the timers in between as well.
    void pass_in_steps(base::duration time, base::duration step = 50ms) {
        for (; time > 0s; time -= step) {
            pass(std::min(time, step));
        }
    }

    // --- clients
    // A client that has not asked for anything yet.
    customer& new_customer(unsigned worker = 0) {
        auto& c = *customers_.emplace_back(std::make_unique<customer>());
        c.worker = worker;
        return c;
    }
    // A client comes and asks for a server.
    customer& newcomer(unsigned worker = 0, const settings_ptr& wanted = nullptr) {
        auto& c = begin_asking(worker, wanted);
        settle();
        return c;
    }
    // The same, as one step of what several workers do at once.
    customer& begin_asking(unsigned worker, const settings_ptr& wanted = nullptr) {
        auto& c = new_customer(worker);
        on(worker, [&](slice& s) {
            if (auto server = s.acquire(c, wanted ? wanted : all_.settings.none())) {
                c.on_server(std::move(server));
            }
        });
        return c;
    }
    // A client that already has a server, and PostgreSQL's side of that.
    std::pair<customer*, backend> served_newcomer(unsigned worker = 0) {
        auto& c = newcomer(worker);
        auto b = postgres_.let_in();
        settle();
        return {&c, std::move(b)};
    }
    void leave_queue(customer& c) {
        threads_[c.worker]->call([&c] { c.withdraw(); });
        settle();
    }
    void give_back(customer& c, bool dirty = false) {
        threads_[c.worker]->call([&c, dirty] { c.server.release(true, dirty, false); });
        settle();
    }
    // Its server is not to be used any more.
    void break_off(customer& c) {
        threads_[c.worker]->call([&c] { c.server.reset(); });
        settle();
    }

    // --- the pool
    // Calls `f` with a worker's slice of the pool, on that worker.
    template <class Function>
    std::invoke_result_t<Function, slice&> on(unsigned worker, Function f) {
        return threads_[worker]->call(
            [this, worker, &f] { return f(pools_[worker]->open(open_shelf(), snapshot_)); });
    }
    shelf& common() { return *open_shelf(); }
    // Servers in a state, on one worker.
    unsigned count(state s, unsigned worker = 0) {
        return on(worker, [s](slice& mine) {
            metrics::report r;
            mine.fill(r, static_cast<unsigned>(metrics::part::pools));
            return r.pools.front().servers[static_cast<std::size_t>(s)];
        });
    }

    scripted_postgres postgres_;
    config::snapshot snapshot_;
    slices::shared all_;

private:
    shelf_ptr open_shelf() {
        const bool forced = !database().user.empty();
        const auto* u = forced ? nullptr : snapshot_.find_user("alice");
        return all_.pools.open({"shop", forced ? "" : "alice"},
                               config::effective_pool(database(), u), database(), u);
    }

    std::vector<std::unique_ptr<net::loop_thread>> threads_;
    std::vector<std::unique_ptr<slices>> pools_;
    std::deque<std::unique_ptr<customer>> customers_;
};

}  // namespace pgweir::pool
