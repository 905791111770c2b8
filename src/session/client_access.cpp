// Which rule of pg_hba.conf is for a client, and what it asks for beside a password.
#include "pgweir/base/log.hpp"
#include "pgweir/net/address.hpp"
#include "pgweir/net/interfaces.hpp"
#include "pgweir/net/local_user.hpp"
#include "pgweir/session/client.hpp"
#include "session/client_state.hpp"

#include <exception>

namespace pgweir::session {
namespace {

auth::method method_of(config::login_method m) noexcept {
    switch (m) {
        case config::login_method::trust: return auth::method::trust;
        case config::login_method::password: return auth::method::password;
        case config::login_method::md5: return auth::method::md5;
        case config::login_method::scram_sha_256:
        case config::login_method::hba: break;
    }
    return auth::method::scram_sha_256;
}

// What is left to ask the client for, once the rule's own checks are done.
auth::method method_of(auth::hba_method m) noexcept {
    switch (m) {
        case auth::hba_method::trust:
        case auth::hba_method::cert:
        case auth::hba_method::peer: return auth::method::trust;
        case auth::hba_method::password: return auth::method::password;
        case auth::hba_method::md5: return auth::method::md5;
        case auth::hba_method::reject:
        case auth::hba_method::scram_sha_256: break;
    }
    return auth::method::scram_sha_256;
}

std::vector<auth::interface_address> own_addresses() {
    std::vector<auth::interface_address> out;
    for (const auto& i : net::interfaces()) {
        const auto address = auth::ip_address::from_bytes(i.address);
        const auto mask = auth::ip_address::from_bytes(i.mask);
        if (address && mask) {
            out.push_back({*address, *mask});
        }
    }
    return out;
}

}  // namespace

// False: the client has been refused, or somebody else goes on with it.
bool client::choose_rule() {
    const auto& snapshot = home_.snapshot();
    if (snapshot.auth.method != config::login_method::hba) {
        login_->method = method_of(snapshot.auth.method);
        return true;
    }
    const auto& startup = login_->startup;
    auth::connection_facts facts;
    const auto peer = net::peer_address(channel_.stream().fd());
    if (peer && !peer->is_unix()) {
        facts.peer = auth::ip_address::from_bytes(net::ip_bytes(peer->raw()));
    }
    // Without an address it would be taken for local.
    if (!peer || (!peer->is_unix() && !facts.peer)) {
        leave(false);
        return false;
    }
    facts.database = startup.database;
    facts.user = startup.user;
    facts.is_physical_replication = startup.replication && !startup.replication_database;
    const auto security = channel_.security();
    facts.is_encrypted = security.has_value();
    const auto host = peer->is_unix() ? std::string{"[local]"} : net::describe(*peer).host;
    std::vector<auth::interface_address> interfaces;
    if (snapshot.access->needs_interfaces()) {
        interfaces = own_addresses();
        facts.interfaces = interfaces;
    }
    login_->access = snapshot.access;
    const auto* rule = login_->access->find(facts);
    login_->rule = rule;
    if (rule != nullptr && rule->clientcert != auth::certificate_check::none &&
        (!security || !security->has_peer_certificate)) {
        refuse_login({"28000", "connection requires a valid client certificate", {}});
        return false;
    }
    if (rule == nullptr || rule->method == auth::hba_method::reject) {
        // PostgreSQL behind us may say the same.
        refuse_login(rule == nullptr ? auth::refuse_without_rule(facts, host)
                                     : auth::refuse_by_rule(facts, host),
                     "auth.hba_file of pgweir");
        return false;
    }
    if (rule->method == auth::hba_method::peer) {
        identify();
        return false;
    }
    // Where a password is asked for, it comes first.
    return login_method() != auth::method::trust || has_certificate_of_user();
}

// False: the client has been refused.
bool client::has_certificate_of_user() {
    const auto* rule = login_->rule;
    if (rule == nullptr || rule->clientcert != auth::certificate_check::verify_full) {
        return true;
    }
    const auto security = channel_.security();
    std::string_view name;
    if (security) {
        name = rule->clientname == auth::certificate_name::distinguished_name
                   ? security->peer_distinguished_name
                   : security->peer_common_name;
    }
    auth::access_rules::identity_verdict verdict;
    if (name.empty()) {
        verdict.why = "client certificate contains no user name";
    } else if (name.find('\0') != std::string_view::npos) {
        // What follows would be lost on whoever takes it for a C string.
        verdict.why = "name in the client certificate contains embedded null";
    } else {
        verdict = login_->access->judge_identity(*rule, name, login_->startup.user);
    }
    if (!verdict.is_allowed) {
        PGWEIR_LOG(info, "client {}: {}", id_, verdict.why);
        refuse_later(auth::refuse_failed(rule->method, login_->startup.user));
    }
    return verdict.is_allowed;
}

// The kernel knows who is at the other end by number; the name may have to be asked for elsewhere.
void client::identify() {
    const auto user = net::peer_user(channel_.stream().fd());
    if (!user) {
        return on_identified({}, "could not get peer credentials");
    }
    enter(phase::hashing);
    if (!self_) {
        self_ = std::make_shared<client*>(this);
    }
    const bool accepted = home_.all().accounts.submit(
        [weak = std::weak_ptr{self_}, user = *user, &loop = home_.loop()] {
            std::string error;
            auto name = net::user_name(user, error);
            loop.post([weak, name = std::move(name), error = std::move(error)] {
                if (const auto alive = weak.lock()) {
                    (*alive)->on_identified(name, error);
                }
            });
        });
    if (!accepted) {
        fail({.severity = "FATAL",
              .sqlstate = "53000",
              .message = "too many logins are waiting for names to be looked up"});
    }
}

void client::on_identified(const std::string& name, const std::string& error) try {
    if (phase_ != phase::hashing && phase_ != phase::authenticating) {
        return;
    }
    const auto& user = login_->startup.user;
    const auto verdict = error.empty() ? login_->access->judge_identity(*login_->rule, name, user)
                                       : auth::access_rules::identity_verdict{false, error};
    if (!verdict.is_allowed) {
        PGWEIR_LOG(info, "client {}: {}", id_, verdict.why);
        return refuse_later(auth::refuse_failed(login_->rule->method, user));
    }
    enter(phase::authenticating);
    log_in();
} catch (const std::exception& e) {
    give_up(e);
}

auth::method client::login_method() const noexcept {
    return login_->rule == nullptr ? login_->method : method_of(login_->rule->method);
}

// Whoever has failed to prove who they are waits for the answer, and keeps their place among those
// who log in, also when they have hung up, or the silence would be answer enough: so guessing takes
// long, and nobody else waits for it.
void client::refuse_later(auth::refusal why) {
    if (home_.snapshot().auth.failure_delay.count() == 0) {
        return refuse_login(why);
    }
    login_->refusal = std::move(why);
    enter(phase::delayed);
}

void client::refuse_login(const auth::refusal& why, std::string hint) {
    if (const auto* rule = login_->rule; rule != nullptr) {
        PGWEIR_LOG(info, "client {}: connection matched file \"{}\" line {}", id_, rule->file,
                   rule->line);
    }
    fail({.severity = "FATAL",
          .sqlstate = why.sqlstate,
          .message = why.message,
          .detail = why.detail,
          .hint = std::move(hint)});
}

}  // namespace pgweir::session
