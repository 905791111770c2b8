// Bytes that had to be kept, and the memory they are kept in.
#include "pgweir/net/buffer.hpp"

#include <gtest/gtest.h>

#include <cstdlib>
#include <new>
#include <string>
#include <utility>
#include <vector>

namespace {

thread_local std::size_t allocations = 0;

void* counted(std::size_t size) {
    ++allocations;
    if (void* p = std::malloc(size)) {
        return p;
    }
    throw std::bad_alloc{};
}

}  // namespace

void* operator new(std::size_t size) { return counted(size); }
void* operator new[](std::size_t size) { return counted(size); }
void operator delete(void* p) noexcept { std::free(p); }
void operator delete[](void* p) noexcept { std::free(p); }
void operator delete(void* p, std::size_t) noexcept { std::free(p); }
void operator delete[](void* p, std::size_t) noexcept { std::free(p); }

namespace pgweir::net {
namespace {

std::string pattern(std::size_t size) {
    std::string out(size, '\0');
    for (std::size_t i = 0; i < size; ++i) {
        out[i] = static_cast<char>('a' + i % 23);
    }
    return out;
}

template <class Function>
std::size_t allocations_of(Function f) {
    const auto before = allocations;
    f();
    return allocations - before;
}

void take_and_give(buffer_pool& pool, std::size_t count) {
    std::vector<buffer_pool::block> blocks;
    blocks.reserve(count);
    for (std::size_t i = 0; i < count; ++i) {
        blocks.push_back(pool.take(1000));
    }
    for (const auto& b : blocks) {
        pool.give(b);
    }
}

class buffer_size : public ::testing::TestWithParam<std::size_t> {};

TEST_P(buffer_size, is_kept_byte_for_byte) {
    buffer_pool pool;
    buffer b;
    b.append(pool, pattern(GetParam()));
    EXPECT_EQ(b.view(), pattern(GetParam()));
}

TEST_P(buffer_size, grows_out_of_small_pieces) {
    buffer_pool pool;
    buffer b;
    const auto text = pattern(GetParam());
    for (std::size_t at = 0; at < text.size(); at += 700) {
        b.append(pool, std::string_view{text}.substr(at, 700));
    }
    EXPECT_EQ(b.view(), text);
}

TEST_P(buffer_size, has_its_block_given_back_when_it_dies) {
    buffer_pool pool;
    {
        buffer b;
        b.append(pool, pattern(GetParam()));
    }
    EXPECT_EQ(pool.bytes_in_use(), 0U);
}

INSTANTIATE_TEST_SUITE_P(
    any,
    buffer_size,
    ::testing::Values(
        0, 1, 1023, 1024, 1025, 8192, 8193, 32768, 32769, 128 * 1024, 128 * 1024 + 1, 300'000));

TEST(buffer, owns_no_block_while_it_is_empty) {
    buffer_pool pool;
    buffer b;
    b.append(pool, "");
    EXPECT_EQ(pool.bytes_in_use(), 0U);
}

TEST(buffer, shows_what_is_left_after_a_part_was_consumed) {
    buffer_pool pool;
    buffer b;
    b.append(pool, "abcdef");
    b.consume(2);
    EXPECT_EQ(b.view(), "cdef");
}

TEST(buffer, gives_its_block_back_when_all_is_consumed) {
    buffer_pool pool;
    buffer b;
    b.append(pool, "abcdef");
    b.consume(6);
    EXPECT_EQ(pool.bytes_in_use(), 0U);
}

TEST(buffer, gives_its_block_back_on_reset) {
    buffer_pool pool;
    buffer b;
    b.append(pool, "abcdef");
    b.reset();
    EXPECT_EQ(pool.bytes_in_use(), 0U);
}

TEST(buffer, uses_the_room_in_front_before_it_grows) {
    buffer_pool pool;
    buffer b;
    b.append(pool, pattern(1024));
    b.consume(1000);
    b.append(pool, pattern(1000));
    EXPECT_EQ(pool.bytes_in_use(), 1024U);
}

TEST(buffer, keeps_the_order_when_it_moves_to_the_front) {
    buffer_pool pool;
    buffer b;
    b.append(pool, pattern(1024));
    b.consume(1000);
    b.append(pool, "behind");
    EXPECT_EQ(b.view(), pattern(1024).substr(1000) + "behind");
}

TEST(buffer, keeps_what_is_left_when_it_grows) {
    buffer_pool pool;
    buffer b;
    b.append(pool, pattern(1024));
    b.consume(10);
    b.append(pool, pattern(5000));
    EXPECT_EQ(b.view(), pattern(1024).substr(10) + pattern(5000));
}

TEST(buffer, moves_its_bytes) {
    buffer_pool pool;
    buffer from;
    from.append(pool, "abcdef");
    const buffer to{std::move(from)};
    EXPECT_EQ(to.view(), "abcdef");
}

TEST(buffer, gives_the_block_back_that_another_replaces) {
    buffer_pool pool;
    buffer b;
    b.append(pool, "abcdef");
    b = buffer{};
    EXPECT_EQ(pool.bytes_in_use(), 0U);
}

TEST(buffer_pool, counts_whole_blocks) {
    buffer_pool pool;
    const auto b = pool.take(1025);
    EXPECT_EQ(pool.bytes_in_use(), 8U * 1024);
    pool.give(b);
}

TEST(buffer_pool, allocates_nothing_once_it_is_warm) {
    buffer_pool pool;
    take_and_give(pool, 50);
    std::vector<buffer_pool::block> blocks(50);
    EXPECT_EQ(allocations_of([&] {
                  for (auto& b : blocks) {
                      b = pool.take(1000);
                  }
                  for (const auto& b : blocks) {
                      pool.give(b);
                  }
              }),
              0U);
}

TEST(buffer_pool, allocates_nothing_for_a_buffer_that_comes_and_goes) {
    buffer_pool pool;
    buffer b;
    b.append(pool, "warm");
    b.reset();
    EXPECT_EQ(allocations_of([&] {
                  b.append(pool, "again");
                  b.reset();
              }),
              0U);
}

TEST(buffer_pool, keeps_at_a_trim_what_was_in_use_since_the_last) {
    buffer_pool pool;
    take_and_give(pool, 1);
    pool.trim();
    take_and_give(pool, 1);
    pool.trim();
    EXPECT_EQ(allocations_of([&] { pool.give(pool.take(1000)); }), 0U);
}

TEST(buffer_pool, frees_at_a_trim_what_was_not_needed_since_the_last) {
    buffer_pool pool;
    take_and_give(pool, 1);
    pool.trim();
    pool.trim();
    EXPECT_EQ(allocations_of([&] { pool.give(pool.take(1000)); }), 1U);
}

TEST(buffer_pool, does_not_keep_blocks_above_its_largest_size) {
    buffer_pool pool;
    pool.give(pool.take(1'000'000));
    EXPECT_EQ(allocations_of([&] { pool.give(pool.take(1'000'000)); }), 1U);
}

TEST(buffer_pool, does_not_grow_its_own_lists_with_every_trim) {
    buffer_pool pool;
    const auto cycle = [&pool] {
        pool.give(pool.take(1000));
        pool.trim();
        pool.trim();
    };
    for (int i = 0; i < 100; ++i) {
        cycle();
    }
    EXPECT_EQ(allocations_of(cycle), 1U);  // the block
}

}  // namespace
}  // namespace pgweir::net
