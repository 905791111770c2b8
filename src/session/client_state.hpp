// What a client needs only while it logs in or is being refused.
#pragma once

#include "pgweir/auth/access_rules.hpp"
#include "pgweir/auth/client_login.hpp"
#include "pgweir/config/lookup_place.hpp"
#include "pgweir/net/tls_handshake.hpp"
#include "pgweir/protocol/batch_refusal.hpp"
#include "pgweir/protocol/failed_transaction.hpp"
#include "pgweir/session/client.hpp"

#include <memory>
#include <optional>
#include <string>
#include <utility>

namespace pgweir::session {

struct client::login {
    admission::ticket place;  // among those who log in
    base::time_point since;   // when the connection came
    protocol::startup_message startup;
    std::optional<auth::client_login> dialogue;
    // With auth.method hba: the rules that this login goes by, to its end, and the one for it.
    std::shared_ptr<const auth::access_rules> access;
    const auth::hba_rule* rule = nullptr;
    auth::method method = auth::method::scram_sha_256;  // of this login, to its end
    std::optional<auth::found_user> found;  // of a user whom the configuration does not name
    std::optional<config::lookup_place> looked_up_at;  // where that is, or is being, looked for
    pool::key_ring::interest identity;                 // until the client is at its gate
    config::access_target target = config::access_target::primary;
    std::string out;        // complete messages that may wait for the next write
    bool is_local = false;  // it comes by the unix socket
    bool ssl_answered = false;
    bool gssenc_answered = false;
    bool is_direct = false;   // it began with the handshake itself, without an SSLRequest
    bool is_stuffed = false;  // plain text came behind its SSLRequest
    std::unique_ptr<net::tls_handshake> handshake;  // while securing
    auth::refusal refusal;                          // while delayed
};

struct client::refusal {
    protocol::batch_refusal scanner;
    std::string error;  // the whole ErrorResponse
};

struct client::failure {
    explicit failure(protocol::failed_transaction::loss what) : machine{std::move(what)} {}
    protocol::failed_transaction machine;
};

}  // namespace pgweir::session
