// The start of a server connection.
#include "pgweir/pool/server_startup.hpp"

#include "pgweir/base/byte_order.hpp"
#include "pgweir/protocol/message_writer.hpp"

namespace pgweir::pool {
namespace {

// PostgreSQL reports about 15; extensions may add a few.
constexpr std::size_t max_parameters = 256;

}  // namespace

void parameter_set::set(std::string_view name, std::string_view value) {
    for (auto& [n, v] : values_) {
        if (n == name) {
            v = value;
            return;
        }
    }
    values_.emplace_back(name, value);
}

std::string_view parameter_set::value_of(std::string_view name) const noexcept {
    for (const auto& [n, v] : values_) {
        if (n == name) {
            return v;
        }
    }
    return {};
}

std::string parameter_set::messages() const {
    std::string all;
    for (const auto& [name, value] : values_) {
        protocol::append_parameter_status(all, name, value);
    }
    return all;
}

bool connect_failure::is_temporary() const noexcept {
    // 57P03 cannot_connect_now, 53xxx insufficient resources, 08xxx connection trouble, 57P01-02
    // shutting down, 58xxx system errors.
    return sqlstate.starts_with("57P") || sqlstate.starts_with("53") ||
           sqlstate.starts_with("08") || sqlstate.starts_with("58");
}

protocol::error_fields connect_failure::as_fatal() const noexcept {
    return {.severity = "FATAL",
            .sqlstate = sqlstate,
            .message = message,
            .detail = detail,
            .hint = hint};
}

server_startup::server_startup(std::string dbname,
                               auth::server_credentials who,
                               std::string nonce,
                               startup_parameters parameters,
                               std::uint16_t minor,
                               auth::channel_binding channel)
    : minor_{minor},
      dbname_{std::move(dbname)},
      user_{who.user},
      extra_{std::move(parameters)},
      login_{std::move(who), std::move(nonce), std::move(channel)} {}

std::string server_startup::startup_packet() const {
    std::string out;
    protocol::message_writer w{out};
    w.begin_untyped()
        .put_int32(static_cast<std::int32_t>(protocol::protocol_3_0 | minor_))
        .put_cstr("user")
        .put_cstr(user_)
        .put_cstr("database")
        .put_cstr(dbname_);
    for (const auto& [name, value] : extra_) {
        w.put_cstr(name).put_cstr(value);
    }
    w.put_byte('\0').end();
    return out;
}

server_startup::step server_startup::fail(std::string sqlstate,
                                          std::string message,
                                          std::string hint) {
    why_ = {std::move(sqlstate), std::move(message), {}, std::move(hint)};
    return {step::kind::failed, {}};
}

server_startup::step server_startup::take(auth::server_login::step s) {
    using from = auth::server_login::step::kind;
    switch (s.what) {
        case from::ok: authenticated_ = true; return {};
        case from::wait: return {};
        case from::send: return {step::kind::send, std::move(s.send)};
        case from::hash: return {step::kind::hash, {}};
        case from::failed: break;
    }
    why_ = {"28000", login_.why().message, {}, login_.why().hint, login_.why().is_outdated};
    return {step::kind::failed, {}};
}

server_startup::step server_startup::on_hashed(const auth::scram_keys& keys) {
    return take(login_.on_hashed(keys));
}

server_startup::step server_startup::on_parameter(std::string_view body) {
    const auto name_end = body.find('\0');
    if (name_end == std::string_view::npos || body.back() != '\0') {
        return fail("08P01", "the server sent a malformed ParameterStatus");
    }
    const auto value = body.substr(name_end + 1);
    parameters_.set(body.substr(0, name_end), value.substr(0, value.find('\0')));
    if (parameters_.all().size() > max_parameters) {
        return fail("08P01", "the server reports too many parameters");
    }
    return {};
}

// NegotiateProtocolVersion: an older version, and those of the options that it does not know. What
// differs between the versions is the size of cancel keys, which are taken as they come.
server_startup::step server_startup::on_version(std::string_view body) {
    negotiated_ = true;
    if (body.size() != 8 || base::load_be32(body.data() + 4) != 0) {
        return fail("08P01", "the server does not know options that it was not asked for");
    }
    const auto version = base::load_be32(body.data());
    if (version < protocol::protocol_3_0 || version > (protocol::protocol_3_0 | minor_)) {
        return fail("08P01",
                    "the server speaks a version of the protocol that it was not asked for");
    }
    return {};
}

server_startup::step server_startup::on_message(char type, std::string_view body) {
    switch (type) {
        case 'R':
            if (authenticated_) {
                break;
            }
            return take(login_.on_authentication(body));
        case 'E': {
            const auto e = protocol::parse_error(body);
            is_refused_ = true;
            why_ = {std::string{e.sqlstate.empty() ? "08006" : e.sqlstate}, std::string{e.message},
                    std::string{e.detail}, std::string{e.hint}};
            if (e.sqlstate == "0A000" && minor_ != 0 && !authenticated_ && why_.hint.empty()) {
                why_.hint = "If it knows no newer version: protocol = \"3.0\" of the database.";
            }
            return {step::kind::failed, {}};
        }
        case 'N': return {};  // NoticeResponse
        case 'v':
            if (authenticated_ || negotiated_) {
                break;
            }
            return on_version(body);
        case 'S':
            if (!authenticated_) {
                break;
            }
            return on_parameter(body);
        case 'K':
            if (!authenticated_ || body.size() < 8 || body.size() > 4 + protocol::max_cancel_key) {
                break;
            }
            pid_ = static_cast<std::int32_t>(base::load_be32(body.data()));
            key_ = body.substr(4);
            return {};
        case 'Z':
            if (!authenticated_ || body != "I") {
                break;
            }
            return {step::kind::ready, {}};
        default: break;
    }
    return fail("08P01", "the server broke the protocol while logging in",
                "is this a PostgreSQL server?");
}

}  // namespace pgweir::pool
