// Something that keeps a thread busy for as long as a test wants.
#pragma once

#include "pgweir/net/background.hpp"
#include "pgweir/net/loop.hpp"

#include <gtest/gtest.h>

#include <future>

namespace pgweir::net {

// Keeps one thread of a background, or a loop, busy until it is let go.
struct blocker {
    std::promise<void> begun;
    std::promise<void> go_on;

    void occupy(background& b) {
        ASSERT_TRUE(b.submit([this] { hold(); }));
        begun.get_future().wait();
    }
    void occupy(loop& l) {
        l.post([this] { hold(); });
        begun.get_future().wait();
    }
    void hold() {
        begun.set_value();
        go_on.get_future().wait();
    }
};

}  // namespace pgweir::net
