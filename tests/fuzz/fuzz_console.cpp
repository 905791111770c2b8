// Feeds a client's bytes to the console; whatever they are, it answers, waits for more or closes.
#include "pgweir/admin/console.hpp"
#include "pgweir/config/snapshot.hpp"

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

namespace {

using pgweir::session::local_outcome;

pgweir::metrics::report make_report() {
    pgweir::metrics::report report;
    report.clients.resize(2);
    report.servers.resize(2);
    report.pools.resize(2);
    report.databases.resize(1);
    report.traffics.resize(1);
    report.clients[0].application_name = "\xff\x1b";
    return report;
}

}  // namespace

// The first byte says where the rest is cut in two and which role asks.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    static const auto report = make_report();
    static const pgweir::config::snapshot snapshot;
    static const pgweir::session::reload_outcome reloads[] = {{}, {{"no"}, {}, {}}};
    if (size == 0) {
        return 0;
    }
    const unsigned knob = data[0];
    const std::string_view bytes{reinterpret_cast<const char*>(data) + 1, size - 1};
    const auto cut = bytes.size() * knob / 256;
    const auto role =
        knob % 2 == 0 ? pgweir::config::console_role::admin : pgweir::config::console_role::stats;
    const auto session = pgweir::admin::console_service{}.open(role);
    for (const auto piece : {bytes.substr(0, cut), bytes.substr(cut)}) {
        std::string out;
        auto next = session->on_bytes(piece, out);
        for (;;) {
            if (next.what == local_outcome::kind::wait_for_report) {
                next = session->on_report(report, snapshot, out);
            } else if (next.what == local_outcome::kind::wait_for_reload) {
                next = session->on_reload(reloads[knob / 2 % 2], out);
            } else {
                break;
            }
        }
        if (next.what == local_outcome::kind::close) {
            break;
        }
    }
    return 0;
}
