// Prepared statements and portals of one console session.
#include "admin/prepared_store.hpp"

#include "admin/message_reader.hpp"
#include "admin/printable.hpp"
#include "admin/verbs.hpp"

#include <iterator>
#include <utility>

namespace pgweir::admin {
namespace {

// PostgreSQL docs 55.7, Bind.
struct bind_message {
    std::string_view portal, statement;
    int parameters = 0;
    int parameter_formats = 0;
    std::vector<std::int16_t> result_formats;
};

std::optional<bind_message> read_bind(std::string_view body) {
    message_reader in{body};
    bind_message m;
    m.portal = in.cstr();
    m.statement = in.cstr();
    m.parameter_formats = in.int16();
    for (int i = 0; i < m.parameter_formats && !in.is_short(); ++i) {
        in.int16();
    }
    m.parameters = in.int16();
    for (int i = 0; i < m.parameters && !in.is_short(); ++i) {
        const auto size = in.int32();
        if (size < -1) {
            return std::nullopt;
        }
        if (size > 0) {
            in.bytes(static_cast<std::size_t>(size));
        }
    }
    const int count = in.int16();
    for (int i = 0; i < count && !in.is_short(); ++i) {
        m.result_formats.push_back(in.int16());
    }
    if (!in.is_whole() || m.parameter_formats < 0 || m.parameters < 0 || count < 0) {
        return std::nullopt;
    }
    return m;
}

// One format is for all columns; none means text.
std::variant<format_list, failure> spread_formats(const std::vector<std::int16_t>& asked,
                                                  std::size_t columns) {
    for (const auto f : asked) {
        if (f != 0 && f != 1) {
            return failure{"22023", "unsupported format code: " + std::to_string(f)};
        }
    }
    if (columns == 0 || asked.empty()) {
        return format_list{};
    }
    if (asked.size() == 1) {
        return format_list(columns, format{asked[0]});
    }
    if (asked.size() != columns) {
        return failure{"08P01", "bind message has " + std::to_string(asked.size()) +
                                    " result formats but query has " + std::to_string(columns) +
                                    " columns"};
    }
    format_list each;
    for (const auto f : asked) {
        each.push_back(format{f});
    }
    return each;
}

std::string quoted(std::string_view name) { return "\"" + excerpt(name) + "\""; }

}  // namespace

std::optional<failure> prepared_store::parse(std::string_view body) {
    message_reader in{body};
    const auto name = in.cstr();
    const auto text = in.cstr();
    // Types of parameters: no statement here has any, and Bind refuses values for them.
    const int types = in.int16();
    for (int i = 0; i < types && !in.is_short(); ++i) {
        in.int32();
    }
    if (!in.is_whole() || types < 0) {
        return malformed_message();
    }
    if (!name.empty()) {
        if (statements_.contains(name)) {
            return failure{"42P05", "prepared statement " + quoted(name) + " already exists"};
        }
        if (statements_.size() >= statement_limit) {
            return failure{"54000", "too many prepared statements", "",
                           "The console keeps " + std::to_string(statement_limit) + "."};
        }
    }

    auto read = read_statements(text);
    if (auto* problem = std::get_if<failure>(&read)) {
        return std::move(*problem);
    }
    auto& statements = std::get<std::vector<token_list>>(read);
    if (statements.size() > 1) {
        return failure{"42601", "cannot insert multiple commands into a prepared statement"};
    }
    auto made = std::make_shared<prepared_statement>();
    if (!statements.empty()) {
        auto recognised = recognise(std::move(statements[0]));
        if (auto* problem = std::get_if<failure>(&recognised)) {
            return std::move(*problem);
        }
        made->what = std::move(std::get<command>(recognised));
    }
    statements_.insert_or_assign(std::string{name}, std::move(made));
    return std::nullopt;
}

std::optional<failure> prepared_store::bind(std::string_view body) {
    auto read = read_bind(body);
    if (!read) {
        return malformed_message();
    }
    const auto statement = find_statement(read->statement);
    if (!statement) {
        return no_such_statement(read->statement);
    }
    if (read->parameter_formats > 1 && read->parameter_formats != read->parameters) {
        return failure{"08P01", "bind message has " + std::to_string(read->parameter_formats) +
                                    " parameter formats but " + std::to_string(read->parameters) +
                                    " parameters"};
    }
    if (read->parameters != 0) {
        return failure{"08P01", "bind message supplies " + std::to_string(read->parameters) +
                                    " parameters, but prepared statement " +
                                    quoted(read->statement) + " requires 0"};
    }
    if (!read->portal.empty()) {
        if (portals_.contains(read->portal)) {
            return failure{"42P03", "cursor " + quoted(read->portal) + " already exists"};
        }
        if (portals_.size() >= portal_limit) {
            return failure{"54000", "too many portals", "",
                           "The console keeps " + std::to_string(portal_limit) + "."};
        }
    }
    auto spread =
        spread_formats(read->result_formats, statement->what ? statement->what->columns.size() : 0);
    if (auto* problem = std::get_if<failure>(&spread)) {
        return std::move(*problem);
    }
    portal made;
    made.statement = statement;
    made.result_formats = std::move(std::get<format_list>(spread));
    portals_.insert_or_assign(std::string{read->portal}, std::move(made));
    return std::nullopt;
}

std::shared_ptr<const prepared_statement> prepared_store::find_statement(
    std::string_view name) const {
    const auto found = statements_.find(name);
    return found == statements_.end() ? nullptr : found->second;
}

portal* prepared_store::find_portal(std::string_view name) {
    const auto found = portals_.find(name);
    return found == portals_.end() ? nullptr : &found->second;
}

const portal* prepared_store::find_portal(std::string_view name) const {
    const auto found = portals_.find(name);
    return found == portals_.end() ? nullptr : &found->second;
}

bool prepared_store::forget_statement(std::string_view name) {
    const auto found = statements_.find(name);
    if (found == statements_.end()) {
        return false;
    }
    statements_.erase(found);
    return true;
}

void prepared_store::close_statement(std::string_view name) {
    if (const auto gone = find_statement(name)) {
        std::erase_if(portals_, [&](const auto& p) { return p.second.statement == gone; });
        forget_statement(name);
    }
}

void prepared_store::close_portal(std::string_view name) {
    const auto found = portals_.find(name);
    if (found != portals_.end()) {
        portals_.erase(found);
    }
}

failure no_such_statement(std::string_view name) {
    return {"26000", name.empty() ? "unnamed prepared statement does not exist"
                                  : "prepared statement " + quoted(name) + " does not exist"};
}

failure no_such_portal(std::string_view name) {
    return {"34000", "portal " + quoted(name) + " does not exist"};
}

failure malformed_message() { return {"08P01", "invalid message format"}; }

}  // namespace pgweir::admin
