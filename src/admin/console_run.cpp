// Carries out one command of the console, whichever protocol it came by.
#include "admin/commands.hpp"
#include "admin/console_session.hpp"
#include "admin/verbs.hpp"
#include "pgweir/protocol/message_writer.hpp"

#include <cassert>
#include <utility>

namespace pgweir::admin {
namespace {

using kind = session::local_outcome::kind;

std::string lines(const std::vector<std::string>& items) {
    std::string text;
    for (const auto& item : items) {
        text += text.empty() ? "" : "\n";
        text += item;
    }
    return text;
}

void notify(std::string& out, std::string_view message, const std::vector<std::string>& keys) {
    if (!keys.empty()) {
        const auto detail = lines(keys);
        protocol::append_notice(out, {"NOTICE", "00000", message, detail, {}});
    }
}

}  // namespace

console_session::step console_session::run(running r, std::string& out) {
    const verb& v = *r.what->what;
    if (!is_allowed(v, role_)) {
        const bool is_admins = v.role == config::console_role::admin;
        fail({"42501", std::string{is_admins ? "admin" : "console"} + " access needed", "",
              std::string{v.usage} + " needs console = \"" + config::to_string(v.role) +
                  "\" in the user's section of the configuration."},
             out);
        return {};
    }
    if (const auto* how = std::get_if<from_report>(&v.how)) {
        return wait(std::move(r), kind::wait_for_report, how->parts);
    }
    if (std::holds_alternative<by_reload>(v.how)) {
        return wait(std::move(r), kind::wait_for_reload, 0);
    }
    if (std::holds_alternative<by_order>(v.how)) {
        return wait(std::move(r), kind::wait_for_command, 0);
    }
    if (const auto* how = std::get_if<in_session>(&v.how)) {
        return run_action(r, how->run, out);
    }
    const auto* parameter = find_parameter(r.what->arguments);
    assert(parameter != nullptr);
    deliver(
        r, [&](row_writer& rows) { rows.text(parameter->value); }, out);
    return {};
}

console_session::step console_session::run_action(const running& r, action act, std::string& out) {
    session_scope scope{transaction_, prepared_, out};
    if (const auto problem = act(r.what->arguments, scope)) {
        fail(*problem, out);
        return {};
    }
    complete(r, out);
    return {};
}

session::local_outcome console_session::on_report(const metrics::report& report,
                                                  const config::snapshot& snapshot,
                                                  std::string& out) {
    if (!waiting_ || waiting_for_.what != kind::wait_for_report) {
        return on_bytes({}, out);
    }
    const auto r = *std::exchange(waiting_, std::nullopt);
    const auto* table = std::get<from_report>(r.what->what->how).table;
    deliver(
        r, [&](row_writer& rows) { table->fill(report, snapshot, rows); }, out);
    return go_on(out);
}

session::local_outcome console_session::on_reload(const session::reload_outcome& done,
                                                  std::string& out) {
    if (!waiting_ || waiting_for_.what != kind::wait_for_reload) {
        return on_bytes({}, out);
    }
    const auto r = *std::exchange(waiting_, std::nullopt);
    if (!done.problems.empty()) {
        fail({"F0000", "RELOAD failed, the configuration in force stays", lines(done.problems),
              "Correct the file and use RELOAD again."},
             out);
        return go_on(out);
    }
    notify(out, "settings changed", done.changed);
    notify(out, "settings that need a restart", done.needs_restart);
    if (done.changed.empty() && done.needs_restart.empty()) {
        protocol::append_notice(out, {"NOTICE", "00000", "nothing changed", {}, {}});
    }
    complete(r, out);
    return go_on(out);
}

session::local_outcome console_session::on_command(const session::command_outcome& done,
                                                   std::string& out) {
    if (!waiting_ || waiting_for_.what != kind::wait_for_command) {
        return on_bytes({}, out);
    }
    const auto r = *std::exchange(waiting_, std::nullopt);
    for (const auto& line : done.notices) {
        protocol::append_notice(out, {"NOTICE", "00000", line, {}, {}});
    }
    if (done.sqlstate.empty()) {
        complete(r, out);
    } else {
        fail({done.sqlstate, done.message, done.detail, done.hint}, out);
    }
    return go_on(out);
}

template <class Fill>
void console_session::deliver(const running& r, Fill fill, std::string& out) {
    static const format_list all_text;
    const auto columns = r.what->columns;
    if (r.into == nullptr) {
        append_row_description(out, columns, all_text);
        row_writer rows{out, columns, all_text};
        fill(rows);
        assert(!rows.is_inside_row());
        complete(r, out);
        return;
    }
    row_writer rows{r.into->rows, columns, r.into->result_formats};
    fill(rows);
    assert(!rows.is_inside_row());
    send_rows(*r.into, r.max_rows, out);
}

void console_session::complete(const running& r, std::string& out) {
    protocol::message_writer{out}.begin('C').put_cstr(r.what->what->tag).end();
}

// Reports the problem and gives up what was to follow: the rest of a simple query, or in the
// extended protocol everything up to Sync.
void console_session::fail(const failure& why, std::string& out) {
    protocol::append_error(out, why.fields());
    if (owes_ready_) {
        next_in_batch_ = batch_.size();
    } else {
        is_skipping_ = true;
    }
}

session::local_outcome console_session::wait(running r, outcome::kind what, unsigned parts) {
    waiting_for_ = {what, parts, r.what->order};
    waiting_ = std::move(r);
    return waiting_for_;
}

}  // namespace pgweir::admin
