// Reads a TOML file into a snapshot, or says everything that is wrong with it.
#pragma once

#include "pgweir/config/snapshot.hpp"

#include <memory>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace pgweir::config {

// One thing that is wrong with the file.
struct problem {
    std::string file;
    unsigned line = 0;         // 1-based; 0 when no line is to blame
    unsigned column = 0;       // 1-based; 0 when the line as a whole is
    std::string message;       // "unknown key \"poolsize\" in [pool]"
    std::string hint;          // "did you mean \"size\"?", or empty
    bool is_of_rules = false;  // in a file of rules for logins, or of maps for them

    [[nodiscard]] std::string text() const;  // "FILE:LINE:COLUMN: message (hint)", as far as known
};

using load_result = std::variant<std::shared_ptr<const snapshot>, std::vector<problem>>;

// Reads and validates `path`, following secret references ({ file = "..." }, { env = "..." }) and
// reading the files of access rules.
// All problems are reported at once, in the order of their lines. Never throws.
// Blocks on files: not for a worker thread.
[[nodiscard]] load_result load_file(const std::string& path);
// The same for text in memory; `path` is used for messages and relative secret files.
[[nodiscard]] load_result load_text(std::string_view toml, const std::string& path);

// What differs between two snapshots, for the answer to RELOAD.
struct difference {
    std::vector<std::string> changed;        // keys that take effect now: "database.shop.pool.size"
    std::vector<std::string> needs_restart;  // keys that differ but are only read at start
};
[[nodiscard]] difference diff(const snapshot& before, const snapshot& after);

}  // namespace pgweir::config
