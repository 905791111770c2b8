// Values on the wire, as PostgreSQL's own send functions write them.
#include "admin/row_writer.hpp"

#include <gtest/gtest.h>

#include <limits>

namespace pgweir::admin {
namespace {

// The value's bytes behind its length word, from a row of one column.
std::string sent(column_type type, format f, std::uint64_t value) {
    const column columns[] = {{"x", type}};
    const format_list formats{f};
    std::string out;
    row_writer{out, columns, formats}.number(value);
    return out.substr(11);
}

std::string bytes(std::initializer_list<int> values) {
    std::string s;
    for (const int v : values) {
        s += static_cast<char>(v);
    }
    return s;
}

TEST(row_writer, int4_in_binary) {
    EXPECT_EQ(sent(column_type::int4, format::binary, 0x01020304), bytes({1, 2, 3, 4}));
}

TEST(row_writer, int8_in_binary) {
    EXPECT_EQ(sent(column_type::int8, format::binary, 0x0102030405060708),
              bytes({1, 2, 3, 4, 5, 6, 7, 8}));
}

TEST(row_writer, int4_holds_at_its_largest) {
    EXPECT_EQ(sent(column_type::int4, format::text, 3'000'000'000), "2147483647");
}

TEST(row_writer, int8_holds_at_its_largest) {
    EXPECT_EQ(sent(column_type::int8, format::text, std::numeric_limits<std::uint64_t>::max()),
              "9223372036854775807");
}

TEST(row_writer, numeric_zero_in_binary_has_no_digits) {
    EXPECT_EQ(sent(column_type::numeric, format::binary, 0), bytes({0, 0, 0, 0, 0, 0, 0, 0}));
}

TEST(row_writer, numeric_in_binary_counts_to_base_ten_thousand) {
    EXPECT_EQ(sent(column_type::numeric, format::binary, 1'2345),
              bytes({0, 2, 0, 1, 0, 0, 0, 0, 0, 1, 0x09, 0x29}));
}

TEST(row_writer, numeric_in_binary_leaves_zeros_at_the_end_out) {
    EXPECT_EQ(sent(column_type::numeric, format::binary, 7'0000'0000),
              bytes({0, 1, 0, 2, 0, 0, 0, 0, 0, 7}));
}

TEST(row_writer, numeric_in_binary_keeps_zeros_in_the_middle) {
    EXPECT_EQ(sent(column_type::numeric, format::binary, 1'0000'0002),
              bytes({0, 3, 0, 2, 0, 0, 0, 0, 0, 1, 0, 0, 0, 2}));
}

TEST(row_writer, the_largest_numeric_has_five_digits) {
    EXPECT_EQ(sent(column_type::numeric, format::binary, std::numeric_limits<std::uint64_t>::max()),
              // 1844 6744 0737 0955 1615
              bytes({0, 5, 0, 4, 0, 0, 0, 0, 0x07, 0x34, 0x1a, 0x58, 0x02, 0xe1, 0x03, 0xbb, 0x06,
                     0x4f}));
}

TEST(row_writer, numeric_as_text_is_decimal) {
    EXPECT_EQ(sent(column_type::numeric, format::text, 12'345), "12345");
}

TEST(row_writer, a_row_ends_with_its_last_column) {
    const column columns[] = {{"a", column_type::text}, {"b", column_type::int4}};
    const format_list formats;
    std::string out;
    row_writer rows{out, columns, formats};
    rows.text("x");
    EXPECT_TRUE(rows.is_inside_row());
    rows.null();
    EXPECT_FALSE(rows.is_inside_row());
    EXPECT_EQ(out, bytes({'D', 0, 0, 0, 15, 0, 2, 0, 0, 0, 1, 'x', 0xff, 0xff, 0xff, 0xff}));
}

TEST(row_writer, a_described_column_tells_type_size_and_format) {
    const column columns[] = {{"n", column_type::int8}};
    std::string out;
    append_row_description(out, columns, {format::binary});
    EXPECT_EQ(out, bytes({'T', 0, 0, 0, 26, 0, 1, 'n',  0,    0,    0,    0, 0, 0,
                          0,   0, 0, 0, 20, 0, 8, 0xff, 0xff, 0xff, 0xff, 0, 1}));
}

}  // namespace
}  // namespace pgweir::admin
