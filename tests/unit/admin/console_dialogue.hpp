// A client of the console: builds its messages, reads the replies, plays the workers.
#pragma once

#include "pgweir/admin/console.hpp"
#include "pgweir/base/byte_order.hpp"
#include "pgweir/config/snapshot.hpp"
#include "pgweir/protocol/error_response.hpp"
#include "pgweir/protocol/message_writer.hpp"

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace pgweir::admin {

using session::local_outcome;

template <class Fill>
std::string message(char type, Fill fill) {
    std::string out;
    protocol::message_writer w{out};
    w.begin(type);
    fill(w);
    w.end();
    return out;
}

inline std::string query(std::string_view sql) {
    return message('Q', [&](auto& w) { w.put_cstr(sql); });
}
inline std::string parse(std::string_view name, std::string_view sql) {
    return message('P', [&](auto& w) { w.put_cstr(name).put_cstr(sql).put_int16(0); });
}
inline std::string bind_to(std::string_view portal,
                           std::string_view statement,
                           const std::vector<std::int16_t>& result_formats = {}) {
    return message('B', [&](auto& w) {
        w.put_cstr(portal).put_cstr(statement).put_int16(0).put_int16(0);
        w.put_int16(static_cast<std::int16_t>(result_formats.size()));
        for (const auto f : result_formats) {
            w.put_int16(f);
        }
    });
}
inline std::string describe(char what, std::string_view name) {
    return message('D', [&](auto& w) { w.put_byte(what).put_cstr(name); });
}
inline std::string close(char what, std::string_view name) {
    return message('C', [&](auto& w) { w.put_byte(what).put_cstr(name); });
}
inline std::string execute(std::string_view portal, std::int32_t max_rows = 0) {
    return message('E', [&](auto& w) { w.put_cstr(portal).put_int32(max_rows); });
}
inline std::string bare(char type) {
    return message(type, [](auto&) {});
}
inline std::string sync() { return bare('S'); }

struct reply {
    char type;
    std::string body;
};

inline std::vector<reply> split(std::string_view bytes) {
    std::vector<reply> replies;
    while (!bytes.empty()) {
        const std::size_t size = bytes.size() < 5 ? 0 : base::load_be32(bytes.data() + 1) + 1;
        if (size < 5 || size > bytes.size()) {
            ADD_FAILURE() << "replies are cut";
            return replies;
        }
        replies.push_back({bytes[0], std::string{bytes.substr(5, size - 5)}});
        bytes.remove_prefix(size);
    }
    return replies;
}

// "TDDCZ"
inline std::string types(const std::vector<reply>& replies) {
    std::string all;
    for (const auto& r : replies) {
        all += r.type;
    }
    return all;
}

// The first reply of that type; empty body if there is none.
inline reply first(const std::vector<reply>& replies, char type) {
    for (const auto& r : replies) {
        if (r.type == type) {
            return r;
        }
    }
    ADD_FAILURE() << "no " << type << " in " << types(replies);
    return {type, {}};
}

// The text fields of DataRow messages; NULL is "(null)".
inline std::vector<std::vector<std::string>> rows(const std::vector<reply>& replies) {
    std::vector<std::vector<std::string>> all;
    for (const auto& r : replies) {
        if (r.type != 'D') {
            continue;
        }
        std::string_view rest = r.body;
        const auto count = base::load_be16(rest.data());
        rest.remove_prefix(2);
        auto& row = all.emplace_back();
        for (int i = 0; i < count; ++i) {
            const auto size = static_cast<std::int32_t>(base::load_be32(rest.data()));
            rest.remove_prefix(4);
            row.emplace_back(size < 0 ? "(null)" : rest.substr(0, static_cast<std::size_t>(size)));
            rest.remove_prefix(size < 0 ? 0 : static_cast<std::size_t>(size));
        }
    }
    return all;
}

// "database:25 user:25 cl_active:23"
inline std::string columns(const reply& row_description) {
    std::string text;
    std::string_view rest = row_description.body;
    const auto count = base::load_be16(rest.data());
    rest.remove_prefix(2);
    for (int i = 0; i < count; ++i) {
        const std::string name = rest.data();
        rest.remove_prefix(name.size() + 1);
        text += (text.empty() ? "" : " ") + name + ":" +
                std::to_string(base::load_be32(rest.data() + 6));
        rest.remove_prefix(18);
    }
    return text;
}

inline std::string sqlstate(const std::vector<reply>& replies) {
    const auto error = first(replies, 'E');
    return std::string{protocol::parse_error(error.body).sqlstate};
}

// A session, whose reports and reloads are answered at once with `report` and `reloaded`.
struct console_client {
    explicit console_client(config::console_role role = config::console_role::admin)
        : session{console_service{}.open(role)} {}

    std::vector<reply> send(std::string_view bytes) {
        std::string out;
        last = session->on_bytes(bytes, out);
        for (;;) {
            if (last.what == local_outcome::kind::wait_for_report) {
                asked_for.push_back(last.parts);
                last = session->on_report(report, snapshot, out);
            } else if (last.what == local_outcome::kind::wait_for_reload) {
                last = session->on_reload(reloaded, out);
            } else if (last.what == local_outcome::kind::wait_for_command) {
                commands.push_back(last.command);
                last = session->on_command(carried_out, out);
            } else {
                return split(out);
            }
        }
    }
    [[nodiscard]] bool is_closed() const { return last.what == local_outcome::kind::close; }

    std::unique_ptr<session::local_session> session;
    metrics::report report;
    config::snapshot snapshot;
    session::reload_outcome reloaded;
    session::command_outcome carried_out;
    std::vector<unsigned> asked_for;
    std::vector<session::console_command> commands;
    local_outcome last;
};

}  // namespace pgweir::admin
