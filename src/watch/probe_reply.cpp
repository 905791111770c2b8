// Reading rows.
#include "watch/probe_reply.hpp"

#include <algorithm>
#include <charconv>
#include <limits>
#include <utility>

namespace pgweir::watch {
namespace {

using cluster::duration;

// The cells of one row, taken in order. What does not parse makes the row bad; what is NULL is
// absent, and bad only where it must be there.
class row_reader {
public:
    explicit row_reader(const result_row& row) noexcept : row_{row} {}

    [[nodiscard]] bool is_good() const noexcept { return good_ && next_ == row_.size(); }

    std::optional<std::string> text() {
        if (next_ >= row_.size()) {
            good_ = false;
            return std::nullopt;
        }
        const auto& cell = row_[next_++];
        if (cell && cell->size() > max_cell_size) {
            good_ = false;
            return std::nullopt;
        }
        return cell;
    }
    template <class Number>
    std::optional<Number> number() {
        const auto cell = text();
        if (!cell) {
            return std::nullopt;
        }
        Number value{};
        const auto* end = cell->data() + cell->size();
        const auto [stop, error] = std::from_chars(cell->data(), end, value);
        if (error != std::errc{} || stop != end) {
            good_ = false;
            return std::nullopt;
        }
        return value;
    }
    std::optional<bool> boolean() {
        const auto cell = text();
        if (!cell) {
            return std::nullopt;
        }
        if (*cell != "t" && *cell != "f") {
            good_ = false;
            return std::nullopt;
        }
        return *cell == "t";
    }
    std::optional<cluster::lsn> position() {
        const auto cell = text();
        if (!cell) {
            return std::nullopt;
        }
        const auto value = parse_lsn(*cell);
        good_ = good_ && value.has_value();
        return value;
    }
    // Not below zero, which only clocks that differ can tell, and not so large that sums overflow.
    std::optional<duration> age() {
        constexpr std::int64_t longest = std::int64_t{100} * 365 * 86'400 * 1'000'000;
        const auto us = number<std::int64_t>();
        if (!us) {
            return std::nullopt;
        }
        return std::chrono::microseconds{std::clamp<std::int64_t>(*us, 0, longest)};
    }
    std::uint16_t port() {
        const auto value = number<std::int64_t>().value_or(0);
        return value > 0 && value <= std::numeric_limits<std::uint16_t>::max()
                   ? static_cast<std::uint16_t>(value)
                   : std::uint16_t{0};
    }
    // The value, or a bad row.
    template <class T>
    T must(std::optional<T> value) {
        good_ = good_ && value.has_value();
        return std::move(value).value_or(T{});
    }

private:
    const result_row& row_;
    std::size_t next_ = 0;
    bool good_ = true;
};

std::optional<cluster::role_facts> read_role(const result_rows& rows) {
    if (rows.size() != 1) {
        return std::nullopt;
    }
    row_reader r{rows.front()};
    cluster::role_facts out;
    out.in_recovery = r.must(r.boolean());
    out.read_only = r.must(r.boolean());
    // A bigint that counts as unsigned.
    out.system_identifier = static_cast<std::uint64_t>(r.must(r.number<std::int64_t>()));
    out.tli = r.must(r.number<cluster::timeline>());
    out.position = r.position().value_or(0);
    out.replayed = r.position().value_or(0);
    out.replay_age = r.age();
    out.replay_paused = r.must(r.boolean());
    out.postmaster_started = r.must(r.number<std::int64_t>());
    const bool is_plausible = r.is_good() && out.tli != 0 && out.system_identifier != 0;
    return is_plausible ? std::optional{out} : std::nullopt;
}

void read_receiver(const result_rows& rows, probe_answer& out) {
    if (rows.empty()) {
        out.receiver.emplace();  // there is none
        return;
    }
    row_reader r{rows.front()};
    cluster::receiver_facts facts;
    const auto status = r.text();
    facts.tli = r.number<cluster::timeline>().value_or(0);
    facts.sender_host = r.text().value_or("");
    facts.sender_port = r.port();
    facts.slot = r.text().value_or("");
    facts.silence = r.age();
    if (!status) {
        out.unseen.add(part::receiver);
    } else if (r.is_good()) {
        facts.streaming = *status == "streaming";
        out.receiver = std::move(facts);
    }
}

void read_senders(const result_rows& rows, probe_answer& out) {
    std::vector<sender_told> senders;
    for (const auto& row : rows) {
        row_reader r{row};
        sender_told told;
        told.row.name = r.text().value_or("");
        told.row.slot = r.text().value_or("");
        const auto state = r.text();
        told.row.sync_state = r.text().value_or("");
        told.pid = r.must(r.number<int>());
        told.replied = r.number<std::int64_t>();
        told.ago = r.age();
        if (!state) {
            out.unseen.add(part::senders);
            return;
        }
        told.row.streaming = *state == "streaming";
        if (r.is_good()) {
            senders.push_back(std::move(told));
        }
    }
    out.senders = std::move(senders);
}

void read_slots(const result_rows& rows, probe_answer& out) {
    auto& slots = out.slots.emplace();
    for (const auto& row : rows) {
        row_reader r{row};
        cluster::slot_row slot;
        slot.name = r.must(r.text());
        slot.active = r.must(r.boolean());
        if (r.is_good()) {
            slots.push_back(std::move(slot));
        }
    }
}

void read_repmgr(const result_rows& rows, bool has_addresses, probe_answer& out) {
    std::vector<cluster::repmgr_row> nodes;
    std::vector<node_address> addresses;
    for (const auto& row : rows) {
        row_reader r{row};
        cluster::repmgr_row node;
        node.id = r.must(r.number<int>());
        node.name = r.must(r.text());
        node.type = r.must(r.text());
        node.active = r.must(r.boolean());
        node.upstream = r.number<int>();
        node_address address;
        address.id = node.id;
        address.name = node.name;
        address.type = node.type;
        if (has_addresses) {
            address.host = r.text().value_or("");
            address.port = r.port();
        }
        if (r.is_good()) {
            nodes.push_back(std::move(node));
            addresses.push_back(std::move(address));
        }
    }
    out.repmgr = std::move(nodes);
    if (has_addresses) {
        out.addresses = std::move(addresses);
    }
}

// One number in one row.
std::optional<int> read_number(const result_rows& rows) {
    if (rows.size() != 1) {
        return std::nullopt;
    }
    row_reader r{rows.front()};
    const auto value = r.number<int>();
    return r.is_good() ? value : std::nullopt;
}

}  // namespace

void read_part(part p, const result_rows& rows, probe_answer& out) {
    switch (p) {
        case part::role: out.role = read_role(rows); return;
        case part::receiver: read_receiver(rows, out); return;
        case part::senders: read_senders(rows, out); return;
        case part::slots: read_slots(rows, out); return;
        case part::repmgr_nodes: read_repmgr(rows, true, out); return;
        case part::repmgr_table: read_repmgr(rows, false, out); return;
        case part::repmgr_local:
            // -1: repmgrd has not attached since the server started.
            if (const auto id = read_number(rows); id && *id >= 0) {
                out.repmgr_local = id;
            }
            return;
        case part::repmgr_term: out.repmgr_term = read_number(rows).value_or(0); return;
    }
}

std::optional<cluster::lsn> parse_lsn(const std::string& text) {
    const auto half = [](std::string_view digits) -> std::optional<std::uint32_t> {
        std::uint32_t value = 0;
        const auto [stop, error] =
            std::from_chars(digits.data(), digits.data() + digits.size(), value, 16);
        if (error != std::errc{} || stop != digits.data() + digits.size()) {
            return std::nullopt;
        }
        return value;
    };
    const std::string_view whole = text;
    const auto slash = whole.find('/');
    if (slash == std::string_view::npos) {
        return std::nullopt;
    }
    const auto high = half(whole.substr(0, slash));
    const auto low = half(whole.substr(slash + 1));
    if (!high || !low) {
        return std::nullopt;
    }
    return std::uint64_t{*high} << 32 | *low;
}

std::vector<cluster::sender_row> sender_silence::judge(const std::vector<sender_told>& told,
                                                       cluster::time_point asked) {
    std::map<int, memory> seen;
    std::vector<cluster::sender_row> out;
    for (const auto& t : told) {
        auto row = t.row;
        if (t.replied) {
            const auto old = known_.find(t.pid);
            memory m{*t.replied, asked, duration::zero()};
            if (old == known_.end()) {
                m.before = t.ago.value_or(duration::zero());
            } else if (old->second.replied == *t.replied) {
                m = old->second;
            }
            row.silence = m.before + (asked - m.since);
            seen.insert_or_assign(t.pid, m);
        }
        out.push_back(std::move(row));
    }
    known_ = std::move(seen);
    return out;
}

}  // namespace pgweir::watch
