// Big-endian integers.
#include "pgweir/base/byte_order.hpp"

#include <gtest/gtest.h>

#include <string_view>

namespace pgweir::base {
namespace {

TEST(byte_order, reads_the_high_byte_first) {
    EXPECT_EQ(load_be32("\x80\x01\x02\xff"), 0x800102ffU);
}

TEST(byte_order, reads_two_bytes_without_a_sign) { EXPECT_EQ(load_be16("\xff\xfe"), 0xfffeU); }

TEST(byte_order, writes_the_high_byte_first) {
    char out[4];
    store_be32(out, 0x800102ffU);
    EXPECT_EQ(std::string_view(out, 4), "\x80\x01\x02\xff");
}

TEST(byte_order, writes_two_bytes) {
    char out[2];
    store_be16(out, 0xfffe);
    EXPECT_EQ(std::string_view(out, 2), "\xff\xfe");
}

}  // namespace
}  // namespace pgweir::base
