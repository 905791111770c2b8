// RECHECK, FORCE PRIMARY, FENCE, UNFENCE and FORGET CLUSTER.
#include "admin/commands.hpp"
#include "admin/order_words.hpp"

#include <string>

namespace pgweir::admin {
namespace {

using session::console_command;

order of_cluster(console_command::verb what, std::span<const token> arguments) {
    order_words words{arguments};
    console_command c;
    c.what = what;
    if (!words.at_end()) {
        const auto name = words.take_name();
        if (!name || name->empty() || !words.at_end()) {
            return std::nullopt;
        }
        c.name = *name;
    }
    return c;
}

// node, node IN cluster, or cluster.node; a quoted name has no dot that separates.
order of_node(console_command::verb what, std::span<const token> arguments) {
    order_words words{arguments};
    console_command c;
    c.what = what;
    const bool is_quoted = words.is_quoted();
    auto first = words.take_name();
    if (!first || first->empty()) {
        return std::nullopt;
    }
    const auto dot = is_quoted ? std::string::npos : first->find('.');
    if (words.take_symbol('.')) {
        const auto node = words.take_name();
        if (!node) {
            return std::nullopt;
        }
        c.name = *first;
        c.node = *node;
    } else if (words.take("in")) {
        const auto cluster = words.take_name();
        if (!cluster || cluster->empty()) {
            return std::nullopt;
        }
        c.name = *cluster;
        c.node = *first;
    } else if (dot == std::string::npos) {
        c.node = *first;
    } else if (dot + 1 == first->size()) {
        // The lexer leaves the dot in front of a quoted name to the word before it.
        const auto node = words.take_name();
        if (!node) {
            return std::nullopt;
        }
        c.name = first->substr(0, dot);
        c.node = *node;
    } else {
        c.name = first->substr(0, dot);
        c.node = first->substr(dot + 1);
    }
    return words.at_end() && !c.node.empty() ? order{c} : std::nullopt;
}

}  // namespace

order read_recheck(std::span<const token> arguments) {
    return of_cluster(console_command::verb::recheck, arguments);
}

order read_forget_cluster(std::span<const token> arguments) {
    return of_cluster(console_command::verb::forget_cluster, arguments);
}

order read_force_primary(std::span<const token> arguments) {
    return of_node(console_command::verb::force_primary, arguments);
}

order read_fence(std::span<const token> arguments) {
    return of_node(console_command::verb::fence, arguments);
}

order read_unfence(std::span<const token> arguments) {
    return of_node(console_command::verb::unfence, arguments);
}

}  // namespace pgweir::admin
