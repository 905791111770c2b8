// What a client must believe of its prepared statements, by what it sent and was answered.
#pragma once

#include "pgweir/protocol/frame.hpp"
#include "protocol/postgresql_model.hpp"

#include <deque>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>

namespace pgweir::protocol::testing {

// Hears both sides of a client's connection, in any pieces, and finds fault with replies that fit
// nothing it has asked, and with rows of another statement than the one it meant.
class client_view {
public:
    std::map<std::string, std::string> statements;  // by the first 63 bytes of their name
    std::optional<std::string> unnamed;
    // Its last Parse failed: PostgreSQL has dropped the one before it, unless it failed for a
    // request of the pooler's in front of it.
    bool unnamed_is_certain = true;
    std::set<std::string> names;  // all that it ever used
    std::string problems;
    char status = 'I';
    std::string heard;  // "1 2 D(select 1) C Z": a word a message

    void sends(std::string_view bytes) {
        each(bytes, sent_, [this](char type, std::string_view body) { send(type, body); });
    }
    void hears(std::string_view bytes) {
        each(bytes, said_, [this](char type, std::string_view body) { hear(type, body); });
    }
    [[nodiscard]] bool is_answered() const noexcept { return due_.empty() && !skipping_; }

private:
    struct request {
        char type = 0;      // of the message; 'd' for a Describe of a portal
        std::string name;   // of the statement
        std::string other;  // text of a Parse or Query; portal of a Bind or Execute
    };

    template <class Handler>
    void each(std::string_view bytes, std::string& kept, Handler handle) {
        kept += bytes;
        while (kept.size() >= header_size && kept.size() >= read_frame(kept.data()).size) {
            const auto size = read_frame(kept.data()).size;
            const auto m = kept.substr(0, size);
            kept.erase(0, size);
            handle(m.front(), std::string_view{m}.substr(header_size));
        }
    }

    void send(char type, std::string_view body) {
        if (std::string_view{"QFPBDECS"}.find(type) == std::string_view::npos ||
            (skipping_ && type != 'S')) {
            return;
        }
        skipping_ = false;
        field_reader in{body};
        request r{type, {}, {}};
        switch (type) {
            case 'Q': r.other = in.cstr(); break;
            case 'E': r.other = in.cstr(); break;
            case 'P':
                r.name = in.cstr();
                r.other = in.cstr();
                break;
            case 'B':
                r.other = in.cstr();
                r.name = in.cstr();
                break;
            case 'D': r.type = in.byte() == 'S' ? 'D' : 'd'; break;
            case 'C':
                r.type = in.byte() == 'S' ? 'C' : 'c';
                r.name = in.cstr();
                break;
            default: break;
        }
        if (type == 'P') {
            names.insert(r.name);
        }
        due_.push_back(std::move(r));
    }

    void hear(char type, std::string_view body) {
        heard += heard.empty() ? "" : " ";
        heard += type;
        if (due_.empty()) {
            problems += std::string{"reply to nothing: "} + type + "\n";
            return;
        }
        auto& front = due_.front();
        switch (type) {
            case '1': return answers(type, "P", [&] { define(front.name) = front.other; });
            case '2':
                return answers(type, "B", [&] { portals_[front.other] = meaning(front.name); });
            case '3': return answers(type, "Cc", [&] { forget(front); });
            case 't': return expect(type, "D");
            case 'T': heard += "(" + field_reader{body.substr(2)}.cstr() + ")"; [[fallthrough]];
            case 'n': return front.type == 'Q' ? void() : answers(type, "Dd", [] {});
            case 'D': return hear_row(body);
            case 'C':
            case 'I': return hear_tag(type, field_reader{body}.cstr());
            case 'V': return expect(type, "F");
            case 'E': return hear_error(body);
            case 'Z': return hear_ready(body);
            default: problems += std::string{"no such reply: "} + type + "\n";
        }
    }

    void expect(char type, std::string_view of) {
        if (of.find(due_.front().type) == std::string_view::npos) {
            problems += std::string{type} + " answers " + due_.front().type + "\n";
        }
    }
    template <class Effect>
    void answers(char type, std::string_view of, Effect effect) {
        expect(type, of);
        effect();
        due_.pop_front();
    }

    void hear_row(std::string_view body) {
        expect('D', "QE");
        const auto row = std::string{body.substr(6)};
        heard += "(" + row + ")";
        const auto& front = due_.front();
        const auto meant = front.type == 'Q' ? front.other : portals_[front.other];
        if (row != meant && meant != uncertain) {
            problems += "row of '" + row + "' instead of '" + meant + "'\n";
        }
    }

    void hear_tag(char type, const std::string& tag) {
        expect(type, "QE");
        const auto& front = due_.front();
        const auto text = front.type == 'Q' ? front.other : portals_[front.other];
        if (tag.ends_with(" ALL")) {
            statements.clear();
        } else if (tag == "DEALLOCATE") {
            if (statements.erase(name_to_deallocate(text).value_or("").substr(0, 63)) == 0) {
                problems += "deallocated what was not there: " + text + "\n";
            }
        }
        if (front.type == 'E') {
            due_.pop_front();
        } else {
            unnamed.reset();
        }
    }

    void hear_error(std::string_view body) {
        const auto at = body.find(std::string_view{"\0C", 2});
        const auto sqlstate = body.substr(at + 2, 5);
        heard += "(" + std::string{sqlstate} + ")";
        // What cannot be read drops no unnamed statement.
        const bool is_read = sqlstate != "22021" && sqlstate != "08P01";
        if (due_.front().type == 'Q' || due_.front().type == 'F') {
            if (due_.front().type == 'Q' && is_read) {
                unnamed.reset();
            }
            return;
        }
        if (due_.front().type == 'P' && due_.front().name.empty() && is_read) {
            unnamed.reset();
            unnamed_is_certain = false;
        }
        while (!due_.empty() && due_.front().type != 'S') {
            due_.pop_front();
        }
        skipping_ = due_.empty();
    }

    void hear_ready(std::string_view body) {
        expect('Z', "QFS");
        status = body.front();
        heard += "(" + std::string{body} + ")";
        due_.pop_front();
    }

    static constexpr auto uncertain = "?";
    std::string& define(const std::string& name) {
        unnamed_is_certain = unnamed_is_certain || name.empty();
        return name.empty() ? unnamed.emplace() : statements[name.substr(0, 63)];
    }
    [[nodiscard]] std::string meaning(const std::string& name) const {
        if (name.empty() && !unnamed_is_certain) {
            return uncertain;
        }
        const auto it = statements.find(name.substr(0, 63));
        return name.empty() ? unnamed.value_or("") : it == statements.end() ? "" : it->second;
    }
    void forget(const request& r) {
        if (r.type == 'C' && r.name.empty()) {
            unnamed.reset();
        } else if (r.type == 'C') {
            statements.erase(r.name.substr(0, 63));
        }
    }

    std::deque<request> due_;
    std::map<std::string, std::string> portals_;
    bool skipping_ = false;
    std::string sent_;
    std::string said_;
};

}  // namespace pgweir::protocol::testing
