// Passwords: written in the file, or fetched from another file or the environment.
#pragma once

#include "config/value_kinds.hpp"

namespace pgweir::config {

// Which forms of pg_authid.rolpassword a key takes beside plain text.
enum class secret_forms : std::uint8_t {
    plain,               // only the text itself can be presented to a server
    plain_or_md5,        // md5 login needs no more than the hash
    plain_md5_or_scram,  // checking a client's proof needs no more than the verifier
};

enum class secret_form : std::uint8_t { plain, md5, scram_verifier, malformed };
// By the prefixes that PostgreSQL's get_password_type() looks at; `malformed` has a prefix but not
// the shape. PostgreSQL documentation, section 53.8 (pg_authid), and RFC 5803 for SCRAM.
[[nodiscard]] secret_form form_of(std::string_view secret);

// What is wrong with a secret of any form; its messages go on after "that": "is longer than ...".
[[nodiscard]] reading check_secret(const base::secret& secret);

// The whole of a regular file that others cannot get at, of at most `most` bytes. Blocks.
[[nodiscard]] reading read_private_file(const std::string& path,
                                        std::size_t most,
                                        base::secret& out);

struct secret_text {
    using value_type = base::secret;
    secret_forms forms;

    // Blocks on the file of { file = "..." }. Faults never quote the secret.
    [[nodiscard]] reading read(const node& n, base::secret& out, const reading_place&) const;
    [[nodiscard]] std::string print(const base::secret& value) const {
        return value.empty() ? "\"\"" : "\"********\"";
    }
};

}  // namespace pgweir::config
