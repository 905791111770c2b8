// Makes text of unknown origin safe to send to a client whose encoding is UTF-8.
#pragma once

#include <string>
#include <string_view>

namespace pgweir::admin {

// Appends `text` with '?' for every byte that is a control character or not part of valid UTF-8.
// Why: one client's application_name must not make another's SHOW CLIENTS undecodable, nor write
// escape sequences to its terminal.
void append_printable(std::string& out, std::string_view text);

// The same, cut to about 64 bytes, for quoting input in an error message.
[[nodiscard]] std::string excerpt(std::string_view text);

}  // namespace pgweir::admin
