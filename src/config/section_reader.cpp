// Collects problems with bounded memory.
#include "config/section_reader.hpp"

#include "config/unknown_name.hpp"

#include <tuple>

namespace pgweir::config {

namespace {
// A person reads a screen or two; a hostile file could hold a million.
constexpr std::size_t most_problems = 1'000;
}  // namespace

section_reader::section_reader(std::string path) : path_{std::move(path)} {
    const auto slash = path_.rfind('/');
    place_.directory = slash == std::string::npos ? std::string{} : path_.substr(0, slash + 1);
}

bool section_reader::expect_table(const node& n,
                                  const std::string& shown,
                                  const std::string& hint) {
    places_.emplace(shown, n.name_at);
    if (n.is_table()) {
        return true;
    }
    complain(n.name_at, shown + " must be a section, not " + kind_of(n),
             hint.empty() ? "write [" + shown + "]" : hint);
    return false;
}

void section_reader::complain(position at, std::string message, std::string hint) {
    if (problems_.size() >= most_problems) {
        ++dropped_;
        return;
    }
    problems_.push_back({path_, at.line, at.column, std::move(message), std::move(hint)});
}

void section_reader::complain_about(const std::string& key,
                                    const std::string& message,
                                    std::string hint) {
    position at;
    for (std::string part = key; !part.empty();) {
        if (const auto found = places_.find(part); found != places_.end()) {
            at = found->second;
            break;
        }
        const auto dot = part.rfind('.');
        part.resize(dot == std::string::npos ? 0 : dot);
    }
    complain(at, key + " " + message, std::move(hint));
}

void section_reader::unknown_key(const node& n, const section_name& section) {
    complain(n.name_at,
             "unknown key " + toml_string(n.name.size() > 63 ? "..." : n.name) + " in [" +
                 section.shown + "]",
             hint_for_key(section.schema, section.shown, n.name));
}

std::vector<problem> section_reader::take_problems() {
    std::ranges::stable_sort(problems_, {}, [](const problem& p) {
        return std::tuple{p.line, p.column};
    });
    if (dropped_ != 0) {
        problems_.push_back(
            {path_, 0, 0, std::to_string(dropped_) + " further problems are not listed", {}});
    }
    return std::exchange(problems_, {});
}

}  // namespace pgweir::config
