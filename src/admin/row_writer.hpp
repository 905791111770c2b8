// Columns of a result, and the messages that carry them.
#pragma once

#include "pgweir/protocol/message_writer.hpp"

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace pgweir::admin {

// Object ids of pg_type, PostgreSQL's src/include/catalog/pg_type.dat.
enum class column_type : std::int32_t { int8 = 20, int4 = 23, text = 25, numeric = 1700 };

struct column {
    const char* name;
    column_type type;
};

// How a value is sent; PostgreSQL docs 55.1.3.
enum class format : std::int16_t { text = 0, binary = 1 };
// One a column; empty means all text.
using format_list = std::vector<format>;

// PostgreSQL docs 55.7, RowDescription.
void append_row_description(std::string& out,
                            std::span<const column> columns,
                            const format_list& formats);

// Appends DataRow messages, value after value; a row ends by itself with its last column.
// `out`, `columns` and `formats` outlive the writer.
class row_writer {
public:
    row_writer(std::string& out,
               std::span<const column> columns,
               const format_list& formats) noexcept
        : out_{out}, message_{out}, columns_{columns}, formats_{formats} {}

    // REQUIRES: the column is text. Bytes that a client could not decode or print become '?'.
    row_writer& text(std::string_view value);
    // For a column of any type; what does not fit it is cut to the largest value that does.
    row_writer& number(std::uint64_t value);
    row_writer& null();
    // NULL when empty.
    row_writer& text_or_null(std::string_view value) {
        return value.empty() ? null() : text(value);
    }
    // NULL when 0.
    row_writer& number_or_null(std::uint64_t value) { return value == 0 ? null() : number(value); }
    // NULL when below 0.
    row_writer& number_if_known(std::int64_t value) {
        return value < 0 ? null() : number(static_cast<std::uint64_t>(value));
    }

    // A row has been begun and not ended: the source of the rows and its columns disagree.
    [[nodiscard]] bool is_inside_row() const noexcept { return next_ != 0; }

private:
    void begin_value();
    void end_value();
    [[nodiscard]] bool is_binary() const noexcept;

    std::string& out_;
    protocol::message_writer message_;
    std::span<const column> columns_;
    const format_list& formats_;
    std::size_t next_ = 0;  // column
};

}  // namespace pgweir::admin
