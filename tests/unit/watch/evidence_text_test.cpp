// Evidence as JSON.
#include "watch/evidence_text.hpp"

#include <boost/json/parse.hpp>

#include <gtest/gtest.h>

#include <vector>

namespace pgweir::watch {
namespace {

using namespace std::chrono_literals;

constexpr cluster::time_point now{100s};

boost::json::value text_of(const cluster::node_evidence& e, std::string name = "n1") {
    const std::vector names{std::move(name)};
    const std::vector evidence{e};
    return boost::json::parse(evidence_text(names, evidence, now, 2s));
}

TEST(evidence_text, a_node_that_was_never_asked) {
    const auto node = text_of({}).at(0);
    EXPECT_EQ(node.at("contact"), "not asked");
    EXPECT_TRUE(node.at("role").is_null());
    EXPECT_TRUE(node.at("alive").is_null());
}

TEST(evidence_text, what_a_probe_has_told) {
    cluster::probe_report report;
    report.asked = now - 250ms;
    report.result = cluster::contact::answered;
    report.role.emplace().system_identifier = UINT64_MAX;
    report.role->tli = 3;
    report.role->position = 0x16B374D848;
    report.receiver.emplace().streaming = true;
    report.senders.emplace().senders.emplace_back().name = "n2";
    report.repmgr.emplace().nodes.emplace_back().type = "primary";
    cluster::node_evidence e;
    e.apply(report);
    const auto node = text_of(e).at(0);
    EXPECT_EQ(node.at("health"), "well");
    EXPECT_EQ(node.at("alive"), 250);
    EXPECT_EQ(node.at("role").at("system"), UINT64_MAX);
    EXPECT_EQ(node.at("role").at("lsn"), "16/B374D848");
    EXPECT_EQ(node.at("receiver").at("streaming"), true);
    EXPECT_EQ(node.at("senders").at("to").at(0).at("name"), "n2");
    EXPECT_EQ(node.at("repmgr").at("nodes").at(0).at("type"), "primary");
}

TEST(evidence_text, is_json_whatever_a_name_is) {
    EXPECT_EQ(text_of({}, "a\"\n\xff").at(0).at("name"), "a\"\n?");
}

}  // namespace
}  // namespace pgweir::watch
