// Appends PostgreSQL v3 messages to a string, filling in each length word.
#pragma once

#include "pgweir/base/byte_order.hpp"

#include <cstdint>
#include <string>
#include <string_view>

namespace pgweir::protocol {

// PostgreSQL docs 55.7 "Message Formats": one type byte, a big-endian length that counts itself,
// the body. Usage: begin(), any puts, end(); several messages may follow each other. The string
// outlives the writer; nothing else may change it between begin() and end().
class message_writer {
public:
    explicit message_writer(std::string& out) noexcept : out_{out} {}

    message_writer& begin(char type) {
        out_.push_back(type);
        length_at_ = out_.size();
        out_.append(4, '\0');
        return *this;
    }
    // A message without a type byte: startup and its kin.
    message_writer& begin_untyped() {
        length_at_ = out_.size();
        out_.append(4, '\0');
        return *this;
    }
    message_writer& put_byte(char b) {
        out_.push_back(b);
        return *this;
    }
    message_writer& put_int16(std::int16_t v) {
        char b[2];
        base::store_be16(b, static_cast<std::uint16_t>(v));
        out_.append(b, sizeof b);
        return *this;
    }
    message_writer& put_int32(std::int32_t v) {
        char b[4];
        base::store_be32(b, static_cast<std::uint32_t>(v));
        out_.append(b, sizeof b);
        return *this;
    }
    // REQUIRES: no NUL inside `s`; the terminator is added.
    message_writer& put_cstr(std::string_view s) {
        out_.append(s);
        out_.push_back('\0');
        return *this;
    }
    message_writer& put_bytes(std::string_view s) {
        out_.append(s);
        return *this;
    }
    void end() {
        base::store_be32(out_.data() + length_at_,
                         static_cast<std::uint32_t>(out_.size() - length_at_));
    }

private:
    std::string& out_;
    std::size_t length_at_ = 0;
};

// ReadyForQuery with transaction status 'I', 'T' or 'E'.
inline void append_ready(std::string& out, char status) {
    message_writer{out}.begin('Z').put_byte(status).end();
}

inline void append_parameter_status(std::string& out,
                                    std::string_view name,
                                    std::string_view value) {
    message_writer{out}.begin('S').put_cstr(name).put_cstr(value).end();
}

}  // namespace pgweir::protocol
