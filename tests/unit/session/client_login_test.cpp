// What a login waits for, and for how long.
#include "auth/rule_files.hpp"
#include "session/fleet_scene.hpp"

#include <chrono>
#include <future>
#include <memory>
#include <string>
#include <thread>
#include <variant>

namespace pgweir::session {
namespace {

using namespace std::chrono_literals;

class client_login : public fleet_scene {
protected:
    // The first of both that hears anything, if only the end.
    static const remote_client* first_to_hear(const remote_client& a, const remote_client& b) {
        for (;;) {
            if (a.has_word()) {
                return &a;
            }
            if (b.has_word()) {
                return &b;
            }
            std::this_thread::sleep_for(1ms);
        }
    }
};

// Who says nothing shows how late it is: its time has begun later than that of who moves, but
// before the move.
TEST_F(client_login, has_the_same_time_on_the_worker_it_was_moved_to) {
    constexpr auto limit = 1200ms;
    snapshot_->timeouts.client_login = limit;
    snapshot_->auth.method = config::login_method::password;
    snapshot_->databases["shop"].name = "shop";
    snapshot_->databases["shop"].pool.size = 1;
    start(2);
    const auto home = pool::slices::homes_of({"shop", "alice"}, 1, 2).front();
    remote_client moved{*workers_[1 - home]};
    std::this_thread::sleep_for(limit / 2);
    remote_client silent{*workers_[home]};
    std::this_thread::sleep_for(limit / 4);
    moved.ask_for("shop");
    ASSERT_TRUE(moved.read());  // it is asked for its password
    EXPECT_EQ(first_to_hear(moved, silent), &moved);
}

// A worker that takes them all in has not got to any of the others yet.
TEST_F(client_login, spreads_those_who_come_in_one_turn_over_the_workers) {
    constexpr unsigned workers = 4;
    constexpr unsigned each = 5;
    fleet_.max_clients = 100;
    snapshot_->auth.method = config::login_method::password;
    snapshot_->databases["shop"].name = "shop";
    snapshot_->databases["shop"].pool.size = 1000;  // lives everywhere
    start(workers);
    std::vector<remote_client> crowd;
    std::promise<void> go_on;
    const auto held = go_on.get_future().share();
    for (const auto& w : workers_) {
        w->loop().post([held] { held.wait(); });
    }
    for (unsigned i = 0; i < workers * each; ++i) {
        crowd.emplace_back(*workers_.front(), "shop");
    }
    go_on.set_value();
    for (auto& c : crowd) {
        ASSERT_TRUE(c.read());  // it is asked for its password, where it lives from now on
    }
    for (const auto& w : workers_) {
        EXPECT_EQ(w->load.load(), each);
    }
}

// Names of servers are looked up elsewhere, and may take as long as they like.
TEST_F(client_login, by_peer_does_not_wait_for_names_of_servers) {
    auth::rule_files files{{"pg_hba.conf", "local all all peer\n"}};
    snapshot_->auth.method = config::login_method::hba;
    snapshot_->access = std::get<std::shared_ptr<const auth::access_rules>>(
        auth::access_rules::parse("pg_hba.conf", "", files));
    start();
    std::promise<void> go_on;
    const auto stuck = go_on.get_future().share();
    for (unsigned i = 0; i < pool::slices::shared::name_threads; ++i) {
        ASSERT_TRUE(fleet_.pools.names.submit([stuck] { stuck.wait(); }));
    }
    remote_client c{*workers_.front(), "shop"};
    EXPECT_EQ(c.read_error(), "Peer authentication failed for user \"alice\"");
    go_on.set_value();
}

}  // namespace
}  // namespace pgweir::session
