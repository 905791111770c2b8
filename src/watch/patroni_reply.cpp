// Reading Patroni's JSON.
#include "watch/patroni_reply.hpp"

#include <boost/json/parse.hpp>

#include <charconv>
#include <limits>

namespace pgweir::watch {
namespace {

namespace json = boost::json;

constexpr std::size_t max_members = 100;
constexpr unsigned http_ok = 200;
constexpr unsigned http_unavailable = 503;

std::optional<json::object> object_in(std::string_view body) {
    json::error_code error;
    auto value = json::parse({body.data(), body.size()}, error);
    if (error || !value.is_object()) {
        return std::nullopt;
    }
    return std::move(value.as_object());
}

std::string text_of(const json::object& o, std::string_view key) {
    const auto* value = o.if_contains({key.data(), key.size()});
    const auto* text = value != nullptr ? value->if_string() : nullptr;
    return text != nullptr ? std::string{text->data(), text->size()} : std::string{};
}

std::uint16_t port_of(std::int64_t number) {
    return number > 0 && number <= std::numeric_limits<std::uint16_t>::max()
               ? static_cast<std::uint16_t>(number)
               : std::uint16_t{0};
}

// "http://10.0.0.1:8008/patroni"
std::uint16_t port_in_url(std::string_view url) {
    const auto scheme = url.find("://");
    url.remove_prefix(scheme == std::string_view::npos ? 0 : scheme + 3);
    url = url.substr(0, url.find('/'));
    const auto colon = url.rfind(':');
    std::int64_t number = 0;
    if (colon != std::string_view::npos) {
        std::from_chars(url.data() + colon + 1, url.data() + url.size(), number);
    }
    return port_of(number);
}

}  // namespace

std::optional<patroni_facts> read_patroni_status(unsigned http_status, std::string_view body) {
    const auto status = object_in(body);
    if ((http_status != http_ok && http_status != http_unavailable) || !status ||
        text_of(*status, "state").empty()) {
        return std::nullopt;
    }
    patroni_facts out;
    const auto* unlocked = status->if_contains("cluster_unlocked");
    out.is_unlocked = unlocked != nullptr && unlocked->is_bool() && unlocked->get_bool();
    out.holds_lock = http_status == http_ok && !out.is_unlocked;
    if (const auto* self = status->if_contains("patroni"); self != nullptr && self->is_object()) {
        out.member = text_of(self->get_object(), "name");
    }
    return out;
}

std::optional<std::vector<patroni_member>> read_patroni_members(unsigned http_status,
                                                                std::string_view body) {
    const auto cluster = object_in(body);
    const auto* list = cluster ? cluster->if_contains("members") : nullptr;
    if (http_status != http_ok || list == nullptr || !list->is_array()) {
        return std::nullopt;
    }
    std::vector<patroni_member> out;
    for (const auto& item : list->get_array()) {
        if (!item.is_object() || out.size() >= max_members) {
            continue;
        }
        const auto& o = item.get_object();
        patroni_member m;
        m.name = text_of(o, "name");
        m.host = text_of(o, "host");
        const auto* port = o.if_contains("port");
        m.port =
            port != nullptr && port->is_int64() ? port_of(port->get_int64()) : std::uint16_t{0};
        const auto role = text_of(o, "role");
        m.is_leader = role == "leader" || role == "master";
        m.api_port = port_in_url(text_of(o, "api_url"));
        if (!m.name.empty() && !m.host.empty() && m.port != 0) {
            out.push_back(std::move(m));
        }
    }
    return out;
}

}  // namespace pgweir::watch
