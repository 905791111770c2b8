// The settings a client asked for at startup, shared by all clients that asked for the same.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

namespace pgweir::pool {

// Immutable. Two clients want the same exactly when their settings are the same object.
struct settings {
    // Names in lower case, sorted, unique; values as the client gave them.
    std::vector<std::pair<std::string, std::string>> values;
    // Sets all values, as startup would: set_config() takes a value as it is, where SET would quote
    // lists such as search_path. Empty when there is nothing to set.
    std::string apply_sql;
    // Of these, those that decide how SQL text is understood; equal exactly when the pointers are.
    std::shared_ptr<const void> parsing;

    [[nodiscard]] std::string_view value_of(std::string_view name) const noexcept;
};
using settings_ptr = std::shared_ptr<const settings>;

// What is removed of a server's session: its settings only, all but prepared statements, or all.
enum class cleansing : std::uint8_t { settings, session, all };
// What a used server runs before its next client, as one implicit transaction: removes what
// sessions leave behind, then sets `next` (may be null: nothing). `seed`, random and from -1 to 1,
// replaces what a client may have made of random().
[[nodiscard]] std::string preparation_sql(cleansing what, const settings* next, double seed);
// Sets again those of `s` that a client's own RESET or DISCARD ALL took back: PostgreSQL would
// return to what the client asked for at startup. `login_role`: whom the server logged in as. Empty
// when there is nothing to set.
[[nodiscard]] std::string restoring_sql(const settings& s, std::string_view login_role);

// Interns settings. Any thread. Entries live as long as somebody holds them, the latest a little
// longer.
class settings_store {
public:
    // Later values of a name win, as in PostgreSQL's startup packet.
    [[nodiscard]] settings_ptr intern(std::vector<std::pair<std::string, std::string>> values);
    [[nodiscard]] settings_ptr none() { return intern({}); }

private:
    std::mutex mutex_;
    std::unordered_map<std::string, std::weak_ptr<const settings>> known_;
    std::unordered_map<std::string, std::weak_ptr<const void>> parsings_;
    std::array<settings_ptr, 8> recent_;
    std::size_t next_recent_ = 0;
    std::size_t sweep_at_ = 64;
};

}  // namespace pgweir::pool
