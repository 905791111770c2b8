// Hostile answers of the nodes of a cluster: rows, texts of failures, and Patroni's pages.
#include "pgweir/watch/refusal.hpp"
#include "watch/evidence_text.hpp"
#include "watch/patroni_reply.hpp"
#include "watch/probe_reply.hpp"

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace {

using namespace pgweir;

void require(bool holds) {
    if (!holds) {
        std::abort();
    }
}

// Rows end with a line, cells with '|'; a cell "\" is NULL.
watch::result_rows rows_of(std::string_view input) {
    watch::result_rows rows(1);
    std::string cell;
    for (const char c : input) {
        if (c != '|' && c != '\n') {
            cell += c;
            continue;
        }
        rows.back().push_back(cell == "\\" ? std::nullopt : std::optional{cell});
        cell.clear();
        if (c == '\n') {
            rows.emplace_back();
        }
    }
    rows.pop_back();
    return rows;
}

// What is read can be shown, whatever it is.
void read_rows(std::string_view input) {
    watch::probe_answer answer;
    const auto rows = rows_of(input);
    for (const auto p : watch::all_parts) {
        watch::read_part(p, rows, answer);
    }
    cluster::probe_report report;
    report.asked = cluster::time_point{std::chrono::seconds{1}};
    report.result = cluster::contact::answered;
    report.role = answer.role;
    report.receiver = answer.receiver;
    if (answer.senders) {
        watch::sender_silence silence;
        report.senders.emplace().senders = silence.judge(*answer.senders, report.asked);
    }
    if (answer.repmgr) {
        report.repmgr.emplace().nodes = *answer.repmgr;
    }
    cluster::node_evidence evidence;
    evidence.apply(report);
    const std::vector<std::string> names{"n1"};
    const auto text =
        watch::evidence_text(names, std::vector{evidence}, report.asked + std::chrono::seconds{1},
                             std::chrono::seconds{2});
    require(!text.empty() && text.find('\n') == std::string::npos);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const std::string_view input{reinterpret_cast<const char*>(data), size};
    read_rows(input);
    const auto refusal = watch::read_refusal(input);
    require(refusal.text.find('\n') == std::string::npos && refusal.text.size() <= 300);
    static_cast<void>(watch::read_patroni_status(200, input));
    static_cast<void>(watch::read_patroni_members(200, input));
    return 0;
}
