// Columns of a result, and the messages that carry them.
#include "admin/row_writer.hpp"

#include "admin/printable.hpp"
#include "pgweir/base/byte_order.hpp"

#include <algorithm>
#include <array>
#include <cassert>
#include <charconv>
#include <limits>

namespace pgweir::admin {
namespace {

std::int16_t size_of(column_type type) noexcept {
    switch (type) {
        case column_type::int8: return 8;
        case column_type::int4: return 4;
        case column_type::text:
        case column_type::numeric: break;
    }
    return -1;
}

format format_of(const format_list& formats, std::size_t column) noexcept {
    return column < formats.size() ? formats[column] : format::text;
}

// As PostgreSQL's numeric_send: count of base-10000 digits, weight of the first, sign, digits after
// the point, then the digits; zeros at the end are left out.
void put_numeric(protocol::message_writer& to, std::uint64_t value) {
    constexpr std::uint64_t base = 10'000;
    std::array<std::int16_t, 5> digits{};  // 20 decimal digits, the least significant first
    std::int16_t size = 0;
    for (; value > 0; value /= base) {
        digits[static_cast<std::size_t>(size++)] = static_cast<std::int16_t>(value % base);
    }
    std::int16_t zeros = 0;
    while (zeros < size && digits[static_cast<std::size_t>(zeros)] == 0) {
        ++zeros;
    }
    to.put_int32(8 + 2 * (size - zeros));
    to.put_int16(static_cast<std::int16_t>(size - zeros));
    to.put_int16(static_cast<std::int16_t>(std::max(size - 1, 0)));
    to.put_int16(0).put_int16(0);
    for (auto i = size; i > zeros; --i) {
        to.put_int16(digits[static_cast<std::size_t>(i - 1)]);
    }
}

std::uint64_t largest(column_type type) noexcept {
    switch (type) {
        case column_type::int4: return std::numeric_limits<std::int32_t>::max();
        case column_type::int8: return std::numeric_limits<std::int64_t>::max();
        case column_type::text:
        case column_type::numeric: break;
    }
    return std::numeric_limits<std::uint64_t>::max();
}

}  // namespace

void append_row_description(std::string& out,
                            std::span<const column> columns,
                            const format_list& formats) {
    protocol::message_writer message{out};
    message.begin('T').put_int16(static_cast<std::int16_t>(columns.size()));
    for (std::size_t i = 0; i < columns.size(); ++i) {
        message.put_cstr(columns[i].name);
        message.put_int32(0).put_int16(0);  // of no table
        message.put_int32(static_cast<std::int32_t>(columns[i].type));
        message.put_int16(size_of(columns[i].type));
        message.put_int32(-1);  // no type modifier
        message.put_int16(static_cast<std::int16_t>(format_of(formats, i)));
    }
    message.end();
}

row_writer& row_writer::text(std::string_view value) {
    begin_value();
    assert(columns_[next_].type == column_type::text);
    const auto length_at = out_.size();
    message_.put_int32(0);
    append_printable(out_, value);
    base::store_be32(out_.data() + length_at,
                     static_cast<std::uint32_t>(out_.size() - length_at - 4));
    end_value();
    return *this;
}

row_writer& row_writer::number(std::uint64_t value) {
    begin_value();
    const auto type = columns_[next_].type;
    value = std::min(value, largest(type));
    if (is_binary() && type == column_type::int4) {
        message_.put_int32(4).put_int32(static_cast<std::int32_t>(value));
    } else if (is_binary() && type == column_type::int8) {
        message_.put_int32(8).put_int32(static_cast<std::int32_t>(value >> 32));
        message_.put_int32(static_cast<std::int32_t>(value & 0xffffffff));
    } else if (is_binary() && type == column_type::numeric) {
        put_numeric(message_, value);
    } else {
        std::array<char, 20> digits{};
        const auto end = std::to_chars(digits.begin(), digits.end(), value).ptr;
        message_.put_int32(static_cast<std::int32_t>(end - digits.begin()));
        message_.put_bytes({digits.data(), static_cast<std::size_t>(end - digits.begin())});
    }
    end_value();
    return *this;
}

row_writer& row_writer::null() {
    begin_value();
    message_.put_int32(-1);
    end_value();
    return *this;
}

void row_writer::begin_value() {
    if (next_ == 0) {
        message_.begin('D').put_int16(static_cast<std::int16_t>(columns_.size()));
    }
}

void row_writer::end_value() {
    if (++next_ == columns_.size()) {
        message_.end();
        next_ = 0;
    }
}

bool row_writer::is_binary() const noexcept { return format_of(formats_, next_) == format::binary; }

}  // namespace pgweir::admin
