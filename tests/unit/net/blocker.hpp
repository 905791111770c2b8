// Something that keeps a background thread busy for as long as a test wants.
#pragma once

#include "pgweir/net/background.hpp"

#include <gtest/gtest.h>

#include <future>

namespace pgweir::net {

// Keeps one thread of a background busy until it is let go.
struct blocker {
    std::promise<void> begun;
    std::promise<void> go_on;

    void occupy(background& b) {
        ASSERT_TRUE(b.submit([this] {
            begun.set_value();
            go_on.get_future().wait();
        }));
        begun.get_future().wait();
    }
};

}  // namespace pgweir::net
