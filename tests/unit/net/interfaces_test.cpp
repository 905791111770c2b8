// The addresses of this machine.
#include "pgweir/net/interfaces.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace pgweir::net {
namespace {

using testing::Contains;
using testing::Field;

TEST(interfaces, are_with_their_masks) {
    const auto all = interfaces();
    EXPECT_THAT(all, Contains(Field(&interface_network::address, std::string("\x7f\0\0\1", 4))));
    for (const auto& i : all) {
        EXPECT_TRUE(i.address.size() == 4 || i.address.size() == 16);
        EXPECT_EQ(i.address.size(), i.mask.size());
    }
}

}  // namespace
}  // namespace pgweir::net
