// One pool on several workers: whose client gets a server, and that all keep to one bound.
#include "pool/pool_scene.hpp"

#include <algorithm>
#include <atomic>
#include <thread>

namespace pgweir::pool {
namespace {

class slice_sharing : public pool_scene {
protected:
    explicit slice_sharing(unsigned workers = 2) : pool_scene{workers} { pool().size = 1; }
};

TEST_F(slice_sharing, gives_a_server_to_a_client_of_another_worker_when_nobody_waits_here) {
    const auto [c, b] = served_newcomer(0);
    auto& foreign = newcomer(1);
    give_back(*c);
    EXPECT_TRUE(foreign.is_served());
}

TEST_F(slice_sharing, moves_the_connection_itself) {
    const auto [c, b] = served_newcomer(0);
    auto& foreign = newcomer(1);
    auto* const moved = c->server.get();
    give_back(*c);
    EXPECT_EQ(foreign.server.get(), moved);
    EXPECT_TRUE(b.hears_nothing());
    EXPECT_EQ(count(state::active, 0), 0U);
    EXPECT_EQ(count(state::active, 1), 1U);
}

TEST_F(slice_sharing, prefers_a_client_of_its_own_to_one_that_is_hardly_older) {
    const auto [c, b] = served_newcomer(0);
    auto& foreign = newcomer(1);
    pass(1ms);
    auto& own = newcomer(0);
    give_back(*c);
    EXPECT_TRUE(own.is_served());
    EXPECT_FALSE(foreign.is_served());
}

TEST_F(slice_sharing, serves_a_foreign_client_that_is_older_by_the_slack) {
    const auto [c, b] = served_newcomer(0);
    auto& foreign = newcomer(1);
    pass(3ms);
    auto& own = newcomer(0);
    give_back(*c);
    EXPECT_TRUE(foreign.is_served());
    EXPECT_FALSE(own.is_served());
    give_back(foreign);
    EXPECT_TRUE(own.is_served());
}

// --- the welcome

class welcome_sharing : public slice_sharing {
protected:
    void learn(unsigned worker, std::string_view time_zone) {
        on(worker, [&](slice& s) {
            parameter_set told;
            told.set("TimeZone", time_zone);
            s.learn_welcome(all_.settings.none(), told);
        });
    }
    // Does a worker know what to tell clients?
    bool is_known(unsigned worker) {
        return on(worker, [this](slice& s) {
            return s.welcome_for(all_.settings.none().get()) != nullptr;
        });
    }
};

TEST_F(welcome_sharing, lets_a_client_in_by_what_another_worker_has_learned) {
    learn(0, "UTC");
    EXPECT_TRUE(is_known(1));
}

TEST_F(welcome_sharing, forgets_on_every_worker_what_has_changed) {
    learn(0, "UTC");
    on(1, [](slice& s) {
        parameter_set told;
        told.set("TimeZone", "Europe/Berlin");
        s.verify_welcome(nullptr, told);
    });
    EXPECT_FALSE(is_known(0));
}

TEST_F(welcome_sharing, believes_no_server_of_before_a_reload) {
    learn(0, "UTC");
    database().port = 1;
    reload();
    EXPECT_FALSE(is_known(0));
    EXPECT_FALSE(is_known(1));
}

// --- idle servers

TEST_F(slice_sharing, asks_the_worker_that_has_an_idle_server) {
    const auto [c, b] = served_newcomer(0);
    give_back(*c);
    EXPECT_TRUE(newcomer(1).is_served());
}

TEST_F(slice_sharing, serves_a_client_later_whose_server_was_lent_before_the_question_came) {
    const auto [c, b] = served_newcomer(0);
    give_back(*c);
    customer* foreign = nullptr;
    on(0, [&, c = c](slice& mine) {
        // The question of worker 1 waits until this turn of worker 0 is over.
        foreign = &begin_asking(1);
        c->server = mine.acquire(*c, all_.settings.none());
    });
    settle();
    ASSERT_TRUE(c->is_served());
    EXPECT_FALSE(foreign->is_served());
    give_back(*c);
    EXPECT_TRUE(foreign->is_served());
}

TEST_F(slice_sharing, passes_a_server_on_whose_client_left_while_it_moved) {
    const auto [c, b] = served_newcomer(0);
    auto& foreign = newcomer(1);
    on(1, [&, c = c](slice&) {
        // What worker 0 sends arrives after this turn of worker 1.
        on(0, [c](slice&) { c->server.release(true, false, false); });
        foreign.withdraw();
    });
    settle();
    EXPECT_EQ(count(state::idle, 1), 1U);
    EXPECT_TRUE(newcomer(0).is_served());
}

TEST_F(slice_sharing, keeps_a_server_here_that_has_said_half_a_header) {
    auto [c, b] = served_newcomer(0);
    give_back(*c);
    b.send_bytes(bytes_of({{'N', error("00000", "hear, hear").body}}).substr(0, 3));
    settle();
    EXPECT_FALSE(newcomer(1).is_served());
    EXPECT_TRUE(newcomer(0).is_served());
}

TEST_F(slice_sharing, lets_the_worker_connect_whose_client_waits_when_a_permit_comes_back) {
    auto [c, b] = served_newcomer(0);
    auto& foreign = newcomer(1);
    break_off(*c);
    b.end();
    settle();
    auto next = postgres_.let_in();
    settle();
    EXPECT_TRUE(foreign.is_served());
}

TEST_F(slice_sharing, tells_the_clients_of_each_worker_why_nobody_is_let_in) {
    auto& own = newcomer(0);
    auto& foreign = newcomer(1);
    for (auto* c : {&own, &foreign}) {
        auto b = postgres_.accept();
        b.read_startup();
        b.send({error("28P01", "password authentication failed for user \"alice\"")});
        b.is_told_to_end();
        b.end();
        settle();
        ASSERT_TRUE(c->refusal);
        EXPECT_EQ(c->refusal->sqlstate, "28P01");
        pass(1s);
    }
}

class slice_sharing_of_three : public slice_sharing {
protected:
    slice_sharing_of_three() : slice_sharing{3} {}
};

TEST_F(slice_sharing_of_three, serves_the_oldest_client_of_all) {
    const auto [c, b] = served_newcomer(0);
    auto& second = newcomer(1);
    pass(10ms);
    auto& third = newcomer(2);
    pass(10ms);
    auto& fourth = newcomer(0);
    give_back(*c);
    EXPECT_TRUE(second.is_served());
    give_back(second);
    EXPECT_TRUE(third.is_served());
    give_back(third);
    EXPECT_TRUE(fourth.is_served());
}

TEST_F(slice_sharing_of_three, sends_one_server_to_a_worker_with_one_waiter) {
    pool().size = 2;
    const auto [c1, b1] = served_newcomer(0);
    const auto [c2, b2] = served_newcomer(0);
    auto& foreign = newcomer(1);
    on(0, [c1 = c1, c2 = c2](slice&) {
        c1->server.release(true, false, false);
        c2->server.release(true, false, false);
    });
    settle();
    EXPECT_TRUE(foreign.is_served());
    EXPECT_EQ(count(state::idle, 0), 1U);
}

// --- many at once

// PostgreSQL on threads of its own, which counts its backends.
class busy_postgres {
public:
    explicit busy_postgres(scripted_postgres& door) : door_{door} {}
    busy_postgres(const busy_postgres&) = delete;
    busy_postgres& operator=(const busy_postgres&) = delete;
    // Waits for all backends to be told to end.
    ~busy_postgres() {
        stopping_ = true;
        postmaster_.join();
        for (auto& t : backends_) {
            t.join();
        }
    }

    [[nodiscard]] unsigned most_at_once() const { return most_; }

private:
    void listen() {
        while (!stopping_) {
            if (door_.has_visitor(10ms)) {
                backends_.emplace_back([this, b = door_.accept()]() mutable { serve(b); });
            }
        }
    }
    void serve(backend& b) {
        auto startup = b.read_startup();
        if (is_cancel_request(startup)) {
            return b.end();  // the last servers are ended with what they still do
        }
        const auto live = ++live_;
        for (auto most = most_.load(); most < live && !most_.compare_exchange_weak(most, live);) {}
        b.log_in(std::move(startup));
        for (auto m = b.read(); m && m->type != 'X'; m = b.read()) {
            b.send(m->type == 'Q' ? done() : messages{{'Z', "I"}});
        }
        --live_;  // first: its permit comes back with the end of the connection
        b.end();
    }

    scripted_postgres& door_;
    std::atomic<bool> stopping_ = false;
    std::atomic<unsigned> live_ = 0;
    std::atomic<unsigned> most_ = 0;
    std::vector<std::thread> backends_;
    std::thread postmaster_{[this] { listen(); }};
};

// A client that asks for a server again and again. Now and then it leaves one dirty, or broken.
struct regular final : waiter {
    slice& home;
    const settings_ptr wanted;
    std::atomic<int>& unfinished;
    int left = 60;
    lease held;

    regular(slice& s, settings_ptr w, std::atomic<int>& u)
        : home{s}, wanted{std::move(w)}, unfinished{u} {}

    void ask() {
        home.home().loop().post([this] {
            if (auto s = home.acquire(*this, wanted)) {
                on_server(std::move(s));
            }
        });
    }
    void on_server(lease s) override {
        held = std::move(s);
        home.home().loop().post([this] { leave(); });
    }
    void leave() {
        if (left % 7 == 0) {
            held.reset();
        } else {
            held.release(true, left % 5 == 0, false);
        }
        --left == 0 ? void(--unfinished) : ask();
    }
    void on_refused(const connect_failure& why) override { ADD_FAILURE() << why.message; }
    void on_server_io() override {}
    [[nodiscard]] std::uint64_t user_id() const noexcept override { return 1; }
    [[nodiscard]] protocol::client_statements* statements() noexcept override { return nullptr; }
};

TEST_F(slice_sharing, serves_a_crowd_with_no_more_backends_than_the_pool_may_have) {
    pool().size = 3;
    busy_postgres postgres{postgres_};
    std::atomic<int> unfinished = 24;
    std::vector<std::unique_ptr<regular>> crowd;
    for (int i = unfinished; i-- > 0;) {
        auto& home = on(static_cast<unsigned>(i % 2), [](slice& s) { return std::ref(s); }).get();
        crowd.push_back(std::make_unique<regular>(home, all_.settings.none(), unfinished));
        crowd.back()->ask();
    }
    const auto end = base::steady::now() + patience;
    while (unfinished != 0 && base::steady::now() < end) {
        pass(1ms);
    }
    EXPECT_EQ(unfinished, 0);
    EXPECT_LE(postgres.most_at_once(), 3U);
    // The last ones are still being cleaned, so one look at all states may see a server twice.
    const auto counted = [this] {
        unsigned servers = 0;
        for (unsigned worker = 0; worker < 2; ++worker) {
            for (std::size_t s = 0; s < metrics::server_state_count; ++s) {
                servers += count(static_cast<state>(s), worker);
            }
        }
        return servers;
    };
    while (common().size() != counted() && base::steady::now() < end) {
        pass(1ms);
    }
    EXPECT_EQ(common().size(), counted());
    for (unsigned worker = 0; worker < 2; ++worker) {
        on(worker, [](slice& s) { s.close_all(); });
    }
}

}  // namespace
}  // namespace pgweir::pool
