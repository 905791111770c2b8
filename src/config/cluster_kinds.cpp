// Reading and printing of nodes and their numbers.
#include "config/cluster_kinds.hpp"

#include <charconv>

namespace pgweir::config {

namespace {

constexpr const char* node_shape = R"(write "HOST", "HOST:PORT" or "[IPv6]:PORT")";

// `text` split at the colon before a port, if there is one. More than one colon without brackets is
// an IPv6 address.
reading split_address(std::string_view text, node_settings& out) {
    std::string_view host = text;
    std::string_view port;
    bool has_port = false;
    if (text.starts_with('[')) {
        const auto close = text.find(']');
        const auto rest =
            close == std::string_view::npos ? std::string_view{"?"} : text.substr(close + 1);
        if (!rest.empty() && !rest.starts_with(':')) {
            return fault{"holds " + key_part(text) + ", which is not a node", node_shape};
        }
        host = text.substr(1, close - 1);
        has_port = !rest.empty();
        port = has_port ? rest.substr(1) : rest;
    } else if (const auto colon = text.find(':');
               colon != std::string_view::npos && colon == text.rfind(':')) {
        host = text.substr(0, colon);
        has_port = true;
        port = text.substr(colon + 1);
    }
    if (const auto refused = node_host(host)) {
        return fault{"holds " + key_part(text) + ", whose host " + refused->message, node_shape};
    }
    if (has_port) {
        const char* end = port.data() + port.size();
        const auto [rest, error] = std::from_chars(port.data(), end, out.port);
        if (error != std::errc{} || rest != end || out.port == 0) {
            return fault{"holds " + key_part(text) + ", whose port is outside 1 to 65535",
                         node_shape};
        }
    }
    out.host = host;
    out.name = out.host;
    return role_or_database(out.name);
}

}  // namespace

reading node_host(std::string_view text) {
    if (text.starts_with('/')) {
        return fault{"is " + key_part(text) + ", a directory",
                     "nodes are told apart by a name or an address and a port"};
    }
    auto refused = server_host(text);
    if (refused && text.empty()) {
        refused->hint = "a name or an address";
    }
    return refused;
}

reading state_directory(std::string_view text) {
    return text.empty() ? reading{fault{"is empty", "an absolute path"}} : absolute_file(text);
}

reading node_list::read(const node& n, value_type& out, const reading_place&) const {
    static constexpr const char* shape = R"(write a list: ["10.0.0.1", "pg-2:5433"])";
    if (!std::holds_alternative<array_value>(n.value)) {
        return fault{std::string{"must be a list of strings, not "} + kind_of(n), shape};
    }
    value_type nodes;
    for (const node& element : n.children) {
        const auto* text = std::get_if<std::string>(&element.value);
        if (text == nullptr) {
            return fault{std::string{"must hold strings, not "} + kind_of(element),
                         "a node with more settings has a section of its own: "
                         "[[cluster.NAME.node]]"};
        }
        if (auto refused = split_address(*text, nodes.emplace_back())) {
            return refused;
        }
    }
    out = std::move(nodes);
    return std::nullopt;
}

std::string node_list::print(const value_type& value) const {
    std::string out = "[";
    for (const auto& node : value) {
        const bool brackets = node.host.find(':') != std::string::npos;
        const std::string host = brackets ? "[" + node.host + "]" : node.host;
        out += (out.size() == 1 ? "" : ", ") + toml_string(host + ":" + std::to_string(node.port));
    }
    return out + "]";
}

reading system_number::read(const node& n, std::uint64_t& out, const reading_place&) const {
    static constexpr const char* hint = "SELECT system_identifier FROM pg_control_system()";
    if (const auto* number = std::get_if<std::int64_t>(&n.value); number != nullptr) {
        if (*number < 0) {
            return fault{"is negative, which no system identifier is", hint};
        }
        out = static_cast<std::uint64_t>(*number);
        return std::nullopt;
    }
    const auto* text = std::get_if<std::string>(&n.value);
    if (text == nullptr) {
        return fault{std::string{"must be a whole number, not "} + kind_of(n), hint};
    }
    std::uint64_t parsed = 0;
    const char* end = text->data() + text->size();
    const auto [rest, error] = std::from_chars(text->data(), end, parsed);
    if (error != std::errc{} || rest != end) {
        return fault{"is " + key_part(*text) + ", which is not a system identifier", hint};
    }
    out = parsed;
    return std::nullopt;
}

std::string system_number::print(std::uint64_t value) const {
    const std::string digits = std::to_string(value);
    constexpr auto largest = static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max());
    return value > largest ? toml_string(digits) : digits;
}

reading repmgr_number::read(const node& n, value_type& out, const reading_place&) const {
    std::int64_t number = 0;
    auto refused = read_whole(n, 0, std::numeric_limits<int>::max(), number);
    if (!refused) {
        out = number == 0 ? value_type{} : value_type{static_cast<int>(number)};
    }
    return refused;
}

}  // namespace pgweir::config
