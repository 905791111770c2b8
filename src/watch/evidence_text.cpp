// Evidence as JSON.
#include "watch/evidence_text.hpp"

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/serialize.hpp>

#include <array>
#include <chrono>
#include <cstdio>
#include <string_view>

namespace pgweir::watch {
namespace {

namespace json = boost::json;

// What servers say of themselves need not be UTF-8, and JSON must be.
json::string ascii(std::string_view text) {
    json::string out;
    for (const char c : text) {
        out.push_back(static_cast<unsigned char>(c) < 0x80 ? c : '?');
    }
    return out;
}

json::value age(cluster::time_point at, cluster::time_point now) {
    if (at == cluster::no_time) {
        return nullptr;
    }
    return std::chrono::duration_cast<std::chrono::milliseconds>(now - at).count();
}

json::value length(const std::optional<cluster::duration>& d) {
    if (!d) {
        return nullptr;
    }
    return std::chrono::duration_cast<std::chrono::milliseconds>(*d).count();
}

json::string position(cluster::lsn at) {
    std::array<char, 24> text{};
    std::snprintf(text.data(), text.size(), "%X/%X", static_cast<unsigned>(at >> 32),
                  static_cast<unsigned>(at));
    return json::string{text.data()};
}

json::value role_of(const cluster::node_evidence& e, cluster::time_point now) {
    const auto* role = e.role();
    if (role == nullptr) {
        return nullptr;
    }
    return json::object{{"asked", age(role->asked, now)},
                        {"in_recovery", role->in_recovery},
                        {"read_only", role->read_only},
                        {"system", role->system_identifier},
                        {"tli", role->tli},
                        {"lsn", position(role->position)},
                        {"replayed", position(role->replayed)},
                        {"replay_age", length(role->replay_age)},
                        {"paused", role->replay_paused},
                        {"started", role->postmaster_started}};
}

json::value receiver_of(const cluster::node_evidence& e, cluster::time_point now) {
    const auto* receiver = e.receiver();
    if (receiver == nullptr) {
        return nullptr;
    }
    return json::object{{"asked", age(receiver->asked, now)},
                        {"streaming", receiver->streaming},
                        {"tli", receiver->tli},
                        {"sender", ascii(receiver->sender_host)},
                        {"port", receiver->sender_port},
                        {"slot", ascii(receiver->slot)},
                        {"silence", length(receiver->silence)}};
}

json::value senders_of(const cluster::node_evidence& e, cluster::time_point now) {
    const auto* facts = e.senders();
    if (facts == nullptr) {
        return nullptr;
    }
    json::array to;
    for (const auto& s : facts->senders) {
        to.push_back(json::object{{"name", ascii(s.name)},
                                  {"slot", ascii(s.slot)},
                                  {"streaming", s.streaming},
                                  {"sync", ascii(s.sync_state)},
                                  {"silence", length(s.silence)}});
    }
    return json::object{{"asked", age(facts->asked, now)}, {"to", std::move(to)}};
}

json::value repmgr_of(const cluster::node_evidence& e, cluster::time_point now) {
    const auto* facts = e.repmgr();
    if (facts == nullptr) {
        return nullptr;
    }
    json::array nodes;
    for (const auto& n : facts->nodes) {
        nodes.push_back(
            json::object{{"id", n.id},
                         {"name", ascii(n.name)},
                         {"type", ascii(n.type)},
                         {"active", n.active},
                         {"upstream", n.upstream ? json::value(*n.upstream) : nullptr}});
    }
    return json::object{{"asked", age(facts->asked, now)},
                        {"local", facts->local_id ? json::value(*facts->local_id) : nullptr},
                        {"term", facts->term},
                        {"nodes", std::move(nodes)}};
}

}  // namespace

std::string evidence_text(std::span<const std::string> names,
                          std::span<const cluster::node_evidence> evidence,
                          cluster::time_point now,
                          cluster::duration lease) {
    json::array nodes;
    for (std::size_t i = 0; i < evidence.size(); ++i) {
        const auto& e = evidence[i];
        nodes.push_back(json::object{{"name", ascii(names[i])},
                                     {"health", to_string(e.state(now, lease))},
                                     {"contact", to_string(e.last())},
                                     {"asked", age(e.last_asked(), now)},
                                     {"alive", age(e.alive(), now)},
                                     {"failed", age(e.failed(), now)},
                                     {"smelled", age(e.smelled(), now)},
                                     {"role", role_of(e, now)},
                                     {"receiver", receiver_of(e, now)},
                                     {"senders", senders_of(e, now)},
                                     {"repmgr", repmgr_of(e, now)}});
    }
    return json::serialize(nodes);
}

}  // namespace pgweir::watch
