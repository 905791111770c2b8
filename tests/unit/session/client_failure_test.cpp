// What goes wrong for one client, such as want of memory, ends that one only.
#include "pgweir/auth/scram_keys.hpp"
#include "session/fleet_scene.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <memory>
#include <new>
#include <string>
#include <string_view>

namespace pgweir::session {
namespace {

// Answers a query with a bare ReadyForQuery, unless it asks for a failure.
class frail_session final : public local_session {
public:
    void welcome(std::string&) override {}
    local_outcome on_bytes(std::string_view in, std::string& out) override {
        if (in.find("fail at once") != std::string_view::npos) {
            throw std::bad_alloc{};
        }
        if (in.find("fail with a report") != std::string_view::npos) {
            return {local_outcome::kind::wait_for_report, 0};
        }
        if (in.find("fail with a reload") != std::string_view::npos) {
            return {local_outcome::kind::wait_for_reload, 0};
        }
        protocol::append_ready(out, 'I');
        return {};
    }
    local_outcome on_report(const metrics::report&,
                            const config::snapshot&,
                            std::string&) override {
        throw std::bad_alloc{};
    }
    local_outcome on_reload(const reload_outcome&, std::string&) override {
        throw std::bad_alloc{};
    }
    local_outcome on_command(const command_outcome&, std::string&) override {
        throw std::bad_alloc{};
    }
};

class frail_service final : public local_service {
public:
    [[nodiscard]] bool serves(std::string_view database) const override {
        if (database == "cursed") {
            throw std::bad_alloc{};
        }
        return database == "frail";
    }
    [[nodiscard]] std::unique_ptr<local_session> open(config::console_role) const override {
        return std::make_unique<frail_session>();
    }
};

class client_failure : public fleet_scene {
protected:
    client_failure() {
        snapshot_->users["alice"].console = config::console_role::admin;
        snapshot_->databases["cursed"].name = "cursed";
        snapshot_->auth.method = config::login_method::trust;
        fleet_.services = &service_;
        fleet_.reload = [](const std::function<void(reload_outcome)>& done) { done({}); };
    }

    // A client that has logged in.
    remote_client newcomer() {
        remote_client c{*workers_.front(), "frail"};
        EXPECT_TRUE(c.read_ready());
        return c;
    }

    frail_service service_;
};

class request_failure : public client_failure, public ::testing::WithParamInterface<const char*> {};

TEST_P(request_failure, ends_its_connection) {
    start();
    auto c = newcomer();
    c.say('Q', GetParam());
    EXPECT_TRUE(c.is_ended());
}

TEST_P(request_failure, leaves_others_in_peace) {
    start();
    auto other = newcomer();
    auto c = newcomer();
    c.say('Q', GetParam());
    EXPECT_TRUE(c.is_ended());
    other.say('Q', "select 1");
    EXPECT_TRUE(other.read_ready());
}

TEST_P(request_failure, leaves_no_client_that_counts) {
    start();
    auto c = newcomer();
    c.say('Q', GetParam());
    EXPECT_TRUE(c.is_ended());
    workers_.front()->stop();
    EXPECT_EQ(fleet_.clients, 0U);
}

INSTANTIATE_TEST_SUITE_P(any,
                         request_failure,
                         ::testing::Values("fail at once",
                                           "fail with a report",
                                           "fail with a reload"),
                         [](const auto& i) {
                             std::string name = i.param;
                             std::ranges::replace(name, ' ', '_');
                             return name;
                         });

TEST_F(client_failure, while_logging_in_ends_the_connection) {
    start();
    remote_client c{*workers_.front(), "cursed"};
    EXPECT_TRUE(c.is_ended());
}

TEST_F(client_failure, behind_a_password_s_hashing_ends_the_connection) {
    snapshot_->auth.method = config::login_method::password;
    snapshot_->users["alice"].password =
        base::secret{auth::make_scram_verifier("pencil", "salt", 1).to_string()};
    start();
    remote_client c{*workers_.front(), "cursed"};
    c.say('p', "pencil");
    EXPECT_TRUE(c.is_ended());
}

TEST_F(client_failure, on_the_worker_it_was_moved_to_ends_the_connection) {
    snapshot_->databases["cursed"].pool.size = 1;
    start(2);
    const auto home = pool::slices::homes_of({"cursed", "alice"}, 1, 2).front();
    remote_client c{*workers_[1 - home], "cursed"};
    EXPECT_TRUE(c.is_ended());
}

}  // namespace
}  // namespace pgweir::session
