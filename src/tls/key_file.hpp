// Whether a private key is kept as private as PostgreSQL asks for.
#pragma once

#include <optional>
#include <string>

namespace pgweir::tls {

// PostgreSQL docs 19.9 and 34.19.1: 0600 or less if the file is ours, 0640 or less if it is root's.
// What is wrong with it, and what to do; empty: nothing.
struct key_file_fault {
    std::string message;
    std::string hint;
};
[[nodiscard]] std::optional<key_file_fault> check_key_file(const std::string& path);

}  // namespace pgweir::tls
