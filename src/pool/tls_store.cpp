// Loading of TLS contexts, by the settings of both legs.
#include "pgweir/pool/tls_store.hpp"

#include <algorithm>
#include <set>
#include <sys/stat.h>
#include <utility>

namespace pgweir::pool {
namespace {

using config::tls_mode;
using tls::context_settings;

tls::version version_of(config::tls_version v) noexcept {
    switch (v) {
        case config::tls_version::any: return tls::version::any;
        case config::tls_version::tls_1_0: return tls::version::tls_1_0;
        case config::tls_version::tls_1_1: return tls::version::tls_1_1;
        case config::tls_version::tls_1_2: return tls::version::tls_1_2;
        case config::tls_version::tls_1_3: break;
    }
    return tls::version::tls_1_3;
}

context_settings settings_of(const config::client_tls_settings& c) {
    context_settings s{.side = tls::role::server};
    if (!c.ca.empty()) {
        s.peer = c.mode >= tls_mode::verify_ca ? tls::verification::required
                                               : tls::verification::if_given;
    }
    s.certificate = c.certificate;
    s.key = c.key;
    s.ca = c.ca;
    s.crl = c.crl;
    s.min_version = version_of(c.min_version);
    s.max_version = version_of(c.max_version);
    s.ciphers = c.ciphers;
    s.cipher_suites = c.cipher_suites;
    s.groups = c.groups;
    return s;
}

// As libpq: whoever has root certificates verifies by them from "require" on.
context_settings settings_of(const config::server_tls_settings& c) {
    context_settings s{.side = tls::role::client};
    if (c.sslmode >= tls_mode::require && !c.sslrootcert.empty()) {
        s.peer = tls::verification::required;
        s.ca = c.sslrootcert;
        s.crl = c.sslcrl;
    }
    s.certificate = c.sslcert;
    s.key = c.sslkey;
    s.min_version = version_of(c.ssl_min_protocol_version);
    s.max_version = version_of(c.ssl_max_protocol_version);
    return s;
}

// The names of what may be wrong, on each leg.
struct key_names {
    std::string context_settings::*setting;
    const char* of_clients;
    const char* of_servers;
};
constexpr key_names keys[] = {{nullptr, "min_version", "ssl_min_protocol_version"},
                              {&context_settings::certificate, "certificate", "sslcert"},
                              {&context_settings::key, "key", "sslkey"},
                              {&context_settings::ca, "ca", "sslrootcert"},
                              {&context_settings::crl, "crl", "sslcrl"},
                              {&context_settings::ciphers, "ciphers", ""},
                              {&context_settings::cipher_suites, "cipher_suites", ""},
                              {&context_settings::groups, "groups", ""}};

std::string line_of(const std::string& section,
                    const tls::context_fault& fault,
                    const char* key_names::*leg) {
    const auto known =
        std::ranges::find_if(keys, [&](const auto& k) { return k.setting == fault.setting; });
    const std::string key = known == std::end(keys) ? "" : known->*leg;
    return section + "." + key + ": " + fault.message +
           (fault.hint.empty() ? "" : " (" + fault.hint + ")");
}

tls_contexts::file look_at(const std::string& path) {
    tls_contexts::file f{.path = path};
    struct stat found {};
    if (::stat(path.c_str(), &found) == 0) {
        f.modified = found.st_mtim;
        f.inode = found.st_ino;
        f.size = static_cast<std::uint64_t>(found.st_size);
    }
    return f;
}

bool is_same(const tls_contexts::file& a, const tls_contexts::file& b) noexcept {
    return a.modified.tv_sec == b.modified.tv_sec && a.modified.tv_nsec == b.modified.tv_nsec &&
           a.inode == b.inode && a.size == b.size;
}

// Collects contexts and problems, section by section.
class loader {
public:
    // Null, and a problem, when it cannot be loaded.
    tls::context_ptr load(const std::string& section,
                          const context_settings& settings,
                          const char* key_names::*leg) {
        for (const auto& path : {settings.certificate, settings.key, settings.ca, settings.crl}) {
            if (!path.empty() && path != "system" && seen_.insert(path).second) {
                made->files.push_back(look_at(path));
            }
        }
        auto loaded = tls::context::load(settings);
        if (const auto* fault = std::get_if<tls::context_fault>(&loaded)) {
            problems.push_back(line_of(section, *fault, leg));
            return nullptr;
        }
        auto context = std::get<tls::context_ptr>(std::move(loaded));
        if (const auto until = context->not_after()) {
            made->certificates.push_back({section, settings.certificate, *until});
        }
        return context;
    }

    void add_servers(const std::string& section, const config::server_tls_settings& settings) {
        if (settings.sslmode != tls_mode::disable && !made->servers.contains(settings)) {
            made->servers[settings] = load(section, settings_of(settings), &key_names::of_servers);
        }
    }

    std::shared_ptr<tls_contexts> made = std::make_shared<tls_contexts>();
    std::vector<std::string> problems;

private:
    std::set<std::string> seen_;
};

}  // namespace

std::variant<std::shared_ptr<const tls_contexts>, std::vector<std::string>> tls_contexts::load(
    const config::snapshot& snapshot) {
    loader l;
    if (snapshot.client_tls.mode != tls_mode::disable) {
        l.made->clients =
            l.load("client_tls", settings_of(snapshot.client_tls), &key_names::of_clients);
    }
    // Each is reported for the section that says so first.
    l.add_servers("server_tls", snapshot.server_tls);
    for (const auto& [name, cluster] : snapshot.clusters) {
        l.add_servers("cluster." + name + ".tls", cluster.tls);
    }
    for (const auto& [name, database] : snapshot.databases) {
        l.add_servers("database." + name + ".tls", database.tls);
    }
    for (const auto& [id, peer] : snapshot.peers) {
        l.add_servers("peer." + std::to_string(id) + ".tls", peer.tls);
    }
    if (!l.problems.empty()) {
        return std::move(l.problems);
    }
    return std::shared_ptr<const tls_contexts>{std::move(l.made)};
}

bool tls_contexts::are_outdated() const {
    return std::ranges::any_of(files, [](const file& f) { return !is_same(f, look_at(f.path)); });
}

void tls_store::put(std::shared_ptr<const tls_contexts> contexts) {
    const std::lock_guard lock{mutex_};
    contexts_.swap(contexts);
}

std::shared_ptr<const tls_contexts> tls_store::all() const {
    const std::lock_guard lock{mutex_};
    return contexts_;
}

tls::context_ptr tls_store::for_clients() const { return all()->clients; }

tls::context_ptr tls_store::for_servers(const config::server_tls_settings& settings) const {
    const auto contexts = all();
    const auto found = contexts->servers.find(settings);
    return found == contexts->servers.end() ? nullptr : found->second;
}

}  // namespace pgweir::pool
