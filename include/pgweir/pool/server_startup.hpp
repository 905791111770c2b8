// Decides the start of a server connection: startup packet, authentication, up to ReadyForQuery.
#pragma once

#include "pgweir/auth/server_login.hpp"
#include "pgweir/protocol/error_response.hpp"
#include "pgweir/protocol/startup.hpp"

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace pgweir::pool {

// Settings a server reported (ParameterStatus), in the order of their first report.
class parameter_set {
public:
    void set(std::string_view name, std::string_view value);
    [[nodiscard]] std::string_view value_of(std::string_view name) const noexcept;
    [[nodiscard]] const std::vector<std::pair<std::string, std::string>>& all() const noexcept {
        return values_;
    }
    // As ParameterStatus messages, in the order in which the names came first.
    [[nodiscard]] std::string messages() const;

private:
    std::vector<std::pair<std::string, std::string>> values_;
};

using startup_parameters = std::vector<std::pair<std::string, std::string>>;

// Why there is no connection. `sqlstate` is the server's own, or 08xxx where it said nothing.
struct connect_failure {
    std::string sqlstate;
    std::string message;
    std::string detail;
    std::string hint;
    bool is_outdated = false;  // see auth::server_login::failure

    // Nobody needs to be told yet: the server starts up, is full, or cannot be reached, and the
    // next attempt may well succeed. Otherwise (wrong password, no such database) waiting is in
    // vain.
    [[nodiscard]] bool is_temporary() const noexcept;
    [[nodiscard]] protocol::error_fields as_fatal() const noexcept;
};

// PostgreSQL docs 55.2.1. Sans-io; one server connection's; worker thread only. `ready` and
// `failed` are final.
class server_startup {
public:
    struct step {
        enum class kind : std::uint8_t {
            read_more,
            send,    // write `send`, then read on
            hash,    // derive request() off the worker, then on_hashed()
            ready,   // logged in and idle
            failed,  // why() says what; close
        };
        kind what = kind::read_more;
        std::string send;
    };

    // `parameters` are sent besides user and database. `minor`: of the protocol version asked for;
    // the server may answer with an older one.
    server_startup(std::string dbname,
                   auth::server_credentials who,
                   std::string nonce,
                   startup_parameters parameters = {},
                   std::uint16_t minor = protocol::newest_minor,
                   auth::channel_binding channel = {});

    [[nodiscard]] std::string startup_packet() const;
    // A whole message of the server, header apart. Total.
    [[nodiscard]] step on_message(char type, std::string_view body);
    [[nodiscard]] step on_hashed(const auth::scram_keys& keys);

    [[nodiscard]] const auth::hash_request& request() const noexcept { return login_.request(); }
    [[nodiscard]] const connect_failure& why() const noexcept { return why_; }
    // After `failed`: it was the server that said so, and not pgweir that went no further.
    [[nodiscard]] bool is_refused_by_server() const noexcept { return is_refused_; }
    [[nodiscard]] parameter_set& parameters() noexcept { return parameters_; }
    [[nodiscard]] std::int32_t backend_pid() const noexcept { return pid_; }
    // As it came, for a CancelRequest.
    [[nodiscard]] const std::string& backend_key() const noexcept { return key_; }

private:
    step take(auth::server_login::step s);
    step fail(std::string sqlstate, std::string message, std::string hint = {});
    step on_parameter(std::string_view body);
    step on_version(std::string_view body);

    const std::uint16_t minor_;
    bool negotiated_ = false;
    std::string dbname_;
    std::string user_;
    startup_parameters extra_;
    auth::server_login login_;
    bool authenticated_ = false;
    parameter_set parameters_;
    std::int32_t pid_ = 0;
    std::string key_;
    connect_failure why_;
    bool is_refused_ = false;
};

}  // namespace pgweir::pool
