// Reads sections by their rules; remembers where keys stand and everything that is wrong.
#pragma once

#include "config/schema.hpp"
#include "pgweir/config/load.hpp"

#include <algorithm>
#include <initializer_list>
#include <map>
#include <string>
#include <vector>

namespace pgweir::config {

// How a section is called: "database.NAME.pool" in the schema, "database.shop.pool" in the file.
struct section_name {
    std::string schema;
    std::string shown;

    [[nodiscard]] section_name below(std::string_view part) const {
        return {schema + "." + std::string{part}, shown + "." + std::string{part}};
    }
};

class section_reader {
public:
    explicit section_reader(std::string path);

    // Lays what `table` says over `out`. Children named in `sub_tables` are left to the caller.
    template <class Settings>
    void read(const node& table,
              const section_name& section,
              const section_rules<Settings>& rules,
              Settings& out,
              std::initializer_list<std::string_view> sub_tables = {});
    // False, and a problem, unless `n` is a table.
    bool expect_table(const node& n, const std::string& shown, const std::string& hint = {});
    void complain(position at, std::string message, std::string hint = {});
    // About a key by its shown name; stands at that key, or else at the section it would be in.
    void complain_about(const std::string& key, const std::string& message, std::string hint = {});
    // Where relative paths start: empty, or with a slash at its end.
    [[nodiscard]] const std::string& directory() const noexcept { return place_.directory; }
    [[nodiscard]] bool has(const std::string& key) const { return places_.contains(key); }
    // In the order of their lines; leaves none behind.
    [[nodiscard]] std::vector<problem> take_problems();

private:
    void unknown_key(const node& n, const section_name& section);

    std::string path_;
    reading_place place_;
    std::map<std::string, position, std::less<>> places_;  // of keys and sections, by shown name
    std::vector<problem> problems_;
    std::size_t dropped_ = 0;
};

template <class Settings>
void section_reader::read(const node& table,
                          const section_name& section,
                          const section_rules<Settings>& rules,
                          Settings& out,
                          std::initializer_list<std::string_view> sub_tables) {
    for (const node& n : table.children) {
        if (std::ranges::find(sub_tables, n.name) != sub_tables.end()) {
            continue;
        }
        const auto known = std::ranges::find(rules, n.name, &key_rule<Settings>::name);
        if (known == rules.end()) {
            unknown_key(n, section);
            continue;
        }
        const std::string key = section.shown + "." + n.name;
        places_.emplace(key, n.value_at);
        if (auto refused = known->read(n, out, place_)) {
            complain(n.value_at, key + " " + refused->message, std::move(refused->hint));
        }
    }
}

}  // namespace pgweir::config
