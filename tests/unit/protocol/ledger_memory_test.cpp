// What the ledger and tracked statements allocate: nothing more, however long a pipeline runs on.
#include "pgweir/protocol/ledger.hpp"
#include "pgweir/protocol/statement_state.hpp"

#include <gtest/gtest.h>

#include <cstdlib>
#include <new>
#include <string>
#include <string_view>

namespace {
std::size_t allocated = 0;  // bytes asked for since the program began
}  // namespace

[[gnu::noinline]] void* operator new(std::size_t size) {
    allocated += size;
    if (void* p = std::malloc(size)) {
        return p;
    }
    throw std::bad_alloc{};
}
[[gnu::noinline]] void* operator new(std::size_t size, const std::nothrow_t&) noexcept {
    allocated += size;
    return std::malloc(size);
}
[[gnu::noinline]] void operator delete(void* p) noexcept { std::free(p); }
[[gnu::noinline]] void operator delete(void* p, std::size_t) noexcept { std::free(p); }

namespace pgweir::protocol {
namespace {

void batch(ledger& l) {
    l.sent(request::parse, origin::client);
    l.sent(request::bind, origin::client);
    l.sent(request::execute, origin::client);
    l.sent(request::sync, origin::client);
}

// Always a few batches ahead, so that it is never empty.
std::size_t allocated_by_a_long_pipeline(std::string_view replies) {
    ledger l;
    for (int i = 0; i < 5; ++i) {
        batch(l);
    }
    const auto before = allocated;
    for (int i = 0; i < 100'000; ++i) {
        batch(l);
        for (const char type : replies) {
            (void)l.received(type);
        }
    }
    return allocated - before;
}

// What the tracked requests of such a pipeline are to change.
std::size_t allocated_by_changes_of_a_long_pipeline() {
    client_statements client;
    server_statements server;
    session_marks marks;
    const auto send = [&] {
        server.begin_unnamed(client, "a text of some length, again and again");
    };
    for (int i = 0; i < 5; ++i) {
        send();
    }
    const auto before = allocated;
    for (int i = 0; i < 100'000; ++i) {
        send();
        server.finish({.done = 1}, client, marks);
    }
    return allocated - before;
}

TEST(statement_memory, is_bounded_in_an_endless_pipeline) {
    EXPECT_LT(allocated_by_changes_of_a_long_pipeline(), 2U * 1024 * 1024);
}

TEST(statement_memory, is_not_needed_for_one_batch_at_a_time) {
    client_statements client;
    server_statements server;
    session_marks marks;
    const auto run = [&] {
        server.begin_unnamed(client, "a Parse message that no string holds without memory");
        server.finish({.done = 1}, client, marks);
    };
    run();
    const auto before = allocated;
    for (int i = 0; i < 1000; ++i) {
        run();
    }
    EXPECT_EQ(allocated, before);
}

TEST(ledger_memory, is_bounded_in_an_endless_pipeline) {
    EXPECT_LT(allocated_by_a_long_pipeline("12CZ"), 256U * 1024);
}

TEST(ledger_memory, is_bounded_when_every_batch_fails) {
    EXPECT_LT(allocated_by_a_long_pipeline("EZ"), 256U * 1024);
}

TEST(ledger_memory, is_not_needed_for_one_batch_at_a_time) {
    ledger l;
    const auto before = allocated;
    for (int i = 0; i < 1000; ++i) {
        batch(l);
        for (const char type : {'1', '2', 'C', 'Z'}) {
            (void)l.received(type);
        }
    }
    EXPECT_EQ(allocated, before);
}

// Their answers, and what they change, are kept until the client reads on.
TEST(ledger_memory, counts_each_request_that_is_answered_here) {
    ledger owed;
    const auto send_half = [&] {
        for (std::size_t i = 0; i < ledger::capacity / 2; ++i) {
            owed.sent(request::known_close, origin::client);
        }
    };
    send_half();
    EXPECT_FALSE(owed.is_full());
    send_half();
    EXPECT_TRUE(owed.is_full());
}

}  // namespace
}  // namespace pgweir::protocol
