// PgBouncer's auth_file: users and their secrets, one pair of quoted strings a line.
#pragma once

#include "pgweir/base/secret.hpp"
#include "pgweir/config/load.hpp"

#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace pgweir::config {

struct user_entry {
    std::string name;
    base::secret password;  // as in [user.NAME]; empty: there is none
};

// Lines of `"name" "secret"`; a quotation mark inside is written twice. What follows the second
// string is ignored, and so are empty lines and those that begin with ';'. `file` is for messages,
// which never quote a secret. Total. All problems are reported, in the order of their lines.
[[nodiscard]] std::variant<std::vector<user_entry>, std::vector<problem>> parse_user_file(
    std::string_view text, const std::string& file);

// Adds the users of auth.user_file that have no section. Blocks on the file. `directory` is where a
// relative path starts.
[[nodiscard]] std::vector<problem> add_user_file(snapshot& out, const std::string& directory);

}  // namespace pgweir::config
