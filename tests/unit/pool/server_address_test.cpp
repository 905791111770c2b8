// How a server's address is found, and which of several is taken.
#include "pool/pool_scene.hpp"

#include <gmock/gmock.h>

#include <array>
#include <atomic>
#include <cstring>
#include <functional>
#include <latch>
#include <memory>
#include <netinet/in.h>
#include <system_error>

namespace pgweir::pool {
namespace {

using ::testing::HasSubstr;

// An address that never answers: its backlog is full.
class silent_host {
public:
    silent_host() {
        sockaddr_in in{};
        in.sin_family = AF_INET;
        in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        address_.size = sizeof in;
        std::memcpy(&address_.storage, &in, sizeof in);
        auto* const raw = reinterpret_cast<sockaddr*>(&address_.storage);
        if (::bind(listening_.get(), raw, sizeof in) < 0 || ::listen(listening_.get(), 0) < 0 ||
            ::getsockname(listening_.get(), raw, &address_.size) < 0) {
            throw std::system_error{errno, std::system_category(), "bind"};
        }
        for (auto& c : crowd_) {
            c = net::descriptor{net::start_connect(address_, {})};
        }
    }
    [[nodiscard]] const net::address& address() const noexcept { return address_; }

private:
    net::descriptor listening_{::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};
    net::address address_;
    std::array<net::descriptor, 3> crowd_;
};

// The database's host is a name; the test says what it stands for.
class server_address : public pool_scene {
protected:
    server_address() {
        pool().size = 1;
        pool().server_connect_timeout = 12s;
        database().host = "db.example";
        all_.look_up = [this](const std::string& host, std::uint16_t port, std::string& error) {
            return answer_(host, port, error);
        };
    }
    ~server_address() override {
        open_gate();
        all_.names.stop();  // what was begun uses members
    }

    static net::address address_of(const scripted_postgres& p) {
        return *net::parse_address(p.folder(), scripted_postgres::port);
    }
    void resolve_to(std::vector<net::address> found) {
        answer_ = [found = std::move(found)](auto&&...) { return found; };
    }
    // No look-up is begun until the gate is opened.
    void keep_threads_busy() {
        const auto begun = std::make_shared<std::latch>(threads);
        for (unsigned i = 0; i < threads; ++i) {
            ASSERT_TRUE(all_.names.submit([this, begun] {
                begun->count_down();
                gate_.wait();
            }));
        }
        begun->wait();
    }
    void open_gate() {
        if (!gate_.try_wait()) {
            gate_.count_down();
        }
    }
    // Lets all look-ups end that were asked for, and the workers hear of them.
    void end_look_ups() {
        // Once each thread is here, none has an older task.
        const auto here = std::make_shared<std::latch>(threads);
        for (unsigned i = 0; i < threads; ++i) {
            ASSERT_TRUE(all_.names.submit([here] { here->arrive_and_wait(); }));
        }
        here->wait();
        settle();
    }
    customer& newcomer_once_looked_up() {
        auto& c = newcomer();
        end_look_ups();
        return c;
    }

    static constexpr auto threads = slices::shared::name_threads;
    std::function<std::vector<net::address>(const std::string&, std::uint16_t, std::string&)>
        answer_;
    std::latch gate_{1};
};

TEST_F(server_address, is_looked_up_as_configured) {
    std::string asked;
    answer_ = [&](const std::string& host, std::uint16_t port, std::string&) {
        asked = host + " " + std::to_string(port);
        return std::vector{address_of(postgres_)};
    };
    newcomer_once_looked_up();
    EXPECT_EQ(asked, "db.example 5432");
    EXPECT_TRUE(postgres_.has_visitor());
}

TEST_F(server_address, that_needs_no_look_up_gets_none) {
    bool asked = false;
    answer_ = [&](auto&&...) {
        asked = true;
        return std::vector<net::address>{};
    };
    database().host = postgres_.folder();
    newcomer_once_looked_up();
    EXPECT_FALSE(asked);
    EXPECT_TRUE(postgres_.has_visitor());
}

TEST_F(server_address, that_is_unknown_is_a_failure_to_try_again) {
    answer_ = [](const std::string&, std::uint16_t, std::string& error) {
        error = "Name or service not known";
        return std::vector<net::address>{};
    };
    auto& c = newcomer_once_looked_up();
    EXPECT_THAT(common().last_error(),
                HasSubstr("\"db.example\", port 5432: Name or service not known"));
    EXPECT_EQ(common().size(), 0U);
    resolve_to({address_of(postgres_)});
    pass(1s);
    end_look_ups();
    auto b = postgres_.let_in();
    settle();
    EXPECT_TRUE(c.is_served());
}

TEST_F(server_address, found_after_its_server_gave_up_is_not_used) {
    answer_ = [this](auto&&...) {
        gate_.wait();
        return std::vector{address_of(postgres_)};
    };
    leave_queue(newcomer());
    pass(pool().server_connect_timeout + 40ms);
    EXPECT_EQ(common().size(), 0U);
    open_gate();
    end_look_ups();
    EXPECT_FALSE(postgres_.has_visitor());
    EXPECT_EQ(common().size(), 0U);
}

TEST_F(server_address, is_not_looked_up_for_a_server_that_gave_up_waiting_for_it) {
    std::atomic<int> asked = 0;
    answer_ = [&](auto&&...) {
        ++asked;
        return std::vector{address_of(postgres_)};
    };
    keep_threads_busy();
    leave_queue(newcomer());
    pass(pool().server_connect_timeout + 40ms);
    open_gate();
    end_look_ups();
    EXPECT_EQ(asked, 0);
}

TEST_F(server_address, fails_at_once_when_too_many_look_ups_wait) {
    keep_threads_busy();
    while (all_.names.submit([] {})) {}
    newcomer();
    EXPECT_THAT(common().last_error(), HasSubstr("too many name look-ups"));
    EXPECT_EQ(common().size(), 0U);
}

// --- one of several

class several_addresses : public server_address {
protected:
    silent_host silent_;
    scripted_postgres other_;
};

TEST_F(several_addresses, are_tried_in_order) {
    resolve_to({address_of(other_), address_of(postgres_)});
    newcomer_once_looked_up();
    EXPECT_TRUE(other_.has_visitor());
    EXPECT_FALSE(postgres_.has_visitor());
}

TEST_F(several_addresses, are_passed_over_where_nobody_listens) {
    other_.stop();
    resolve_to({address_of(other_), address_of(other_), address_of(postgres_)});
    newcomer_once_looked_up();
    EXPECT_TRUE(postgres_.has_visitor());
}

TEST_F(several_addresses, that_all_refuse_are_one_failure) {
    postgres_.stop();
    other_.stop();
    resolve_to({address_of(other_), address_of(postgres_)});
    newcomer_once_looked_up();
    EXPECT_EQ(common().failures.load(), 1U);
    EXPECT_EQ(common().size(), 0U);
}

TEST_F(several_addresses, share_the_time_that_a_connect_may_take) {
    resolve_to({silent_.address(), silent_.address(), address_of(postgres_)});
    newcomer_once_looked_up();
    pass(4s + 40ms);
    pass(3900ms);
    EXPECT_FALSE(postgres_.has_visitor());
    pass(140ms);
    EXPECT_TRUE(postgres_.has_visitor());
}

TEST_F(several_addresses, that_are_all_silent_take_no_longer_than_one) {
    resolve_to({silent_.address(), silent_.address(), silent_.address()});
    newcomer_once_looked_up();
    pass_in_steps(11900ms, 20ms);
    EXPECT_EQ(common().size(), 1U);
    EXPECT_EQ(common().failures.load(), 0U);
    pass_in_steps(200ms, 20ms);
    EXPECT_EQ(common().failures.load(), 1U);
}

TEST_F(several_addresses, are_not_tried_behind_one_that_was_connected) {
    resolve_to({address_of(other_), address_of(postgres_)});
    newcomer_once_looked_up();
    auto b = other_.accept();
    b.read_startup();
    b.send({error("28P01", "password authentication failed for user \"alice\"")});
    settle();
    EXPECT_FALSE(postgres_.has_visitor());
}

TEST_F(several_addresses, leave_the_rest_of_the_time_to_the_one_that_connected) {
    resolve_to({silent_.address(), address_of(postgres_)});
    newcomer_once_looked_up();
    pass(6s + 40ms);
    auto b = postgres_.accept();
    b.read_startup();
    pass(5800ms);
    EXPECT_TRUE(b.hears_nothing());
    pass(200ms);
    EXPECT_TRUE(b.is_told_to_end());
}

}  // namespace
}  // namespace pgweir::pool
