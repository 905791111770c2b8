// Places of look-ups.
#include "pgweir/config/lookup_place.hpp"

#include <algorithm>
#include <utility>

namespace pgweir::config {
namespace {

tls_mode mode_of(const std::string& sslmode) {
    using enum tls_mode;
    for (const auto m : {disable, allow, prefer, require, verify_ca, verify_full}) {
        if (sslmode == to_string(m)) {
            return m;
        }
    }
    return verify_full;
}

}  // namespace

std::optional<lookup_place> find_lookup_place(const snapshot& all,
                                              const database_settings& database) {
    auto how = find_auth_query(all, database);
    if (!how) {
        return std::nullopt;
    }
    lookup_place out;
    out.tls = database.tls;
    if (const auto c = all.clusters.find(database.cluster); c != all.clusters.end()) {
        if (const auto m = mode_of(c->second.monitor_sslmode); m > out.tls.sslmode) {
            out.tls.sslmode = m;
            out.tls.sslrootcert = c->second.monitor_sslrootcert;
        }
        out.tls.channel_binding =
            std::max(out.tls.channel_binding, c->second.monitor_channel_binding);
    }
    out.cluster = database.cluster;
    if (out.cluster.empty()) {
        out.host = database.host;
        out.port = database.port;
    }
    out.how = std::move(*how);
    return out;
}

}  // namespace pgweir::config
