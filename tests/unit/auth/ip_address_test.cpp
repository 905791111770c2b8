// Addresses as text and bytes, and ranges.
#include "pgweir/auth/ip_address.hpp"

#include <gtest/gtest.h>

namespace pgweir::auth {
namespace {

using family = ip_address::family;

ip_address at(std::string_view text) { return ip_address::parse(text).value(); }

TEST(ip_address, is_read_as_it_is_written) {
    for (const auto* text : {"0.0.0.0", "192.0.2.1", "255.255.255.255", "::", "::1",
                             "2001:db8::ff00:42:8329", "::ffff:192.0.2.1"}) {
        EXPECT_EQ(at(text).to_string(), text);
    }
}

TEST(ip_address, has_four_parts_or_colons) {
    for (const std::string_view text :
         {"", "127.1", "1.2.3", "1.2.3.256", "0x7f.0.0.1", " 127.0.0.1", "127.0.0.1 ", "::1%lo",
          "12345::", "localhost", ":", "1.2.3.4.5"}) {
        EXPECT_FALSE(ip_address::parse(text)) << text;
    }
}

TEST(ip_address, does_not_end_at_a_nul) {
    EXPECT_FALSE(ip_address::parse(std::string_view{"127.0.0.1\0.example", 18}));
}

TEST(ip_address, longer_than_any_is_none) {
    EXPECT_FALSE(ip_address::parse(std::string(1000, '1')));
}

TEST(ip_address, comes_from_bytes_in_network_order) {
    EXPECT_EQ(ip_address::from_bytes(std::string_view{"\x7f\0\0\1", 4}), at("127.0.0.1"));
    EXPECT_EQ(ip_address::from_bytes(std::string(15, '\0') + '\1'), at("::1"));
    EXPECT_FALSE(ip_address::from_bytes("12345"));
}

TEST(ip_address, of_another_family_is_another) { EXPECT_NE(at("0.0.0.0"), at("::")); }

TEST(ip_mask, fixes_the_first_bits) {
    EXPECT_EQ(ip_address::mask_of(family::v4, 0), at("0.0.0.0"));
    EXPECT_EQ(ip_address::mask_of(family::v4, 9), at("255.128.0.0"));
    EXPECT_EQ(ip_address::mask_of(family::v4, 32), at("255.255.255.255"));
    EXPECT_EQ(ip_address::mask_of(family::v6, 33), at("ffff:ffff:8000::"));
    EXPECT_EQ(ip_address::mask_of(family::v6, 128), at("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"));
}

TEST(ip_mask, has_no_more_bits_than_its_address) {
    EXPECT_FALSE(ip_address::mask_of(family::v4, 33));
    EXPECT_FALSE(ip_address::mask_of(family::v6, 129));
}

TEST(ip_range, holds_what_its_mask_leaves_free) {
    const auto network = at("10.1.0.0");
    const auto mask = at("255.255.0.0");
    EXPECT_TRUE(at("10.1.255.255").is_within(network, mask));
    EXPECT_FALSE(at("10.2.0.0").is_within(network, mask));
}

TEST(ip_range, ignores_bits_of_the_network_that_the_mask_leaves_free) {
    EXPECT_TRUE(at("10.1.2.3").is_within(at("10.1.9.9"), at("255.255.0.0")));
}

TEST(ip_range, holds_nobody_of_another_family) {
    EXPECT_FALSE(at("::1").is_within(at("0.0.0.0"), at("0.0.0.0")));
    EXPECT_FALSE(at("127.0.0.1").is_within(at("::"), at("::")));
}

}  // namespace
}  // namespace pgweir::auth
