// Which workers serve a pool.
#include "pgweir/pool/slice.hpp"

#include <gtest/gtest.h>

#include <set>
#include <string>
#include <vector>

namespace pgweir::pool {
namespace {

const shelf_key shop{"shop", "alice"};

TEST(homes, are_one_worker_for_a_small_pool) { EXPECT_EQ(slices::homes_of(shop, 3, 8).size(), 1U); }

TEST(homes, are_one_worker_for_a_pool_without_servers) {
    EXPECT_EQ(slices::homes_of(shop, 0, 8).size(), 1U);
}

TEST(homes, are_so_many_that_each_has_four_servers) {
    EXPECT_EQ(slices::homes_of(shop, 20, 8).size(), 5U);
}

TEST(homes, are_all_workers_for_a_large_pool) {
    EXPECT_EQ(slices::homes_of(shop, 1000, 8).size(), 8U);
}

TEST(homes, name_no_worker_twice) {
    const auto homes = slices::homes_of(shop, 1000, 8);
    EXPECT_EQ(std::set<unsigned>(homes.begin(), homes.end()).size(), 8U);
}

TEST(homes, are_the_only_worker_where_there_is_one) {
    EXPECT_EQ(slices::homes_of(shop, 20, 1), std::vector<unsigned>{0});
}

TEST(homes, exist) {
    for (const auto home : slices::homes_of(shop, 12, 8)) {
        EXPECT_LT(home, 8U);
    }
}

TEST(homes, stay_the_same) {
    EXPECT_EQ(slices::homes_of(shop, 20, 8), slices::homes_of(shop, 20, 8));
}

TEST(homes, of_many_pools_are_spread_over_all_workers) {
    std::set<unsigned> used;
    for (int i = 0; i < 200; ++i) {
        used.insert(slices::homes_of({"db" + std::to_string(i), "alice"}, 1, 8).front());
    }
    EXPECT_EQ(used.size(), 8U);
}

}  // namespace
}  // namespace pgweir::pool
