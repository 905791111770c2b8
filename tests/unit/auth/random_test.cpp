// Randomness: what is drawn for many at once is given to each once.
#include "pgweir/auth/random.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <mutex>
#include <set>
#include <thread>
#include <vector>

namespace pgweir::auth {
namespace {

std::uint64_t draw() {
    std::uint64_t out = 0;
    random_bytes({reinterpret_cast<unsigned char*>(&out), sizeof out});
    return out;
}

TEST(random_bytes, gives_no_bytes_twice) {
    std::set<std::uint64_t> seen;
    for (int i = 0; i < 10'000; ++i) {
        ASSERT_TRUE(seen.insert(draw()).second);
    }
}

TEST(random_bytes, gives_each_thread_its_own) {
    std::mutex mutex;
    std::set<std::uint64_t> seen;
    std::vector<std::jthread> threads;
    for (int i = 0; i < 4; ++i) {
        threads.emplace_back([&] {
            for (int n = 0; n < 1000; ++n) {
                const auto drawn = draw();
                const std::lock_guard lock{mutex};
                seen.insert(drawn);
            }
        });
    }
    threads.clear();
    EXPECT_EQ(seen.size(), 4000U);
}

TEST(random_bytes, fills_any_size_to_its_end) {
    for (const std::size_t size : {1, 63, 64, 65, 1024, 5000}) {
        std::vector<unsigned char> ored(size);
        for (int i = 0; i < 20; ++i) {
            std::vector<unsigned char> drawn(size);
            random_bytes(drawn);
            std::ranges::transform(ored, drawn, ored.begin(), std::bit_or<>{});
        }
        // A byte that was left alone would be zero in all of them.
        EXPECT_EQ(std::ranges::count(ored, 0), 0) << size;
    }
}

TEST(random_nonce, is_18_bytes_in_base64) { EXPECT_EQ(random_nonce().size(), 24U); }

}  // namespace
}  // namespace pgweir::auth
