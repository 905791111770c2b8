// Keys of SCRAM-SHA-256 and the verifier that PostgreSQL keeps in pg_authid.
#pragma once

#include <array>
#include <optional>
#include <string>
#include <string_view>

namespace pgweir::auth {

using digest = std::array<unsigned char, 32>;

// What PostgreSQL itself uses when a password is set (scram_iterations, SCRAM_SHA_256_SALT_LEN).
inline constexpr int default_scram_iterations = 4096;
inline constexpr std::size_t default_scram_salt_size = 16;

// What a server must know to check a password; the password does not follow from it.
struct scram_verifier {
    int iterations = 0;
    std::string salt;  // raw bytes
    digest stored_key{};
    digest server_key{};

    // Reads "SCRAM-SHA-256$<iterations>:<salt>$<stored key>:<server key>" (PostgreSQL docs 53.8
    // "pg_authid"), all but the iterations in base64. Total; nullopt for anything else.
    [[nodiscard]] static std::optional<scram_verifier> parse(std::string_view text);
    [[nodiscard]] std::string to_string() const;
    friend bool operator==(const scram_verifier&, const scram_verifier&) = default;
};

// What a client needs to log in wherever the salt and the iterations are the same: as good as the
// password there. Wiped when it dies.
struct scram_keys {
    digest client_key{};
    digest server_key{};

    ~scram_keys();
    scram_keys() = default;
    scram_keys(const digest& client, const digest& server)
        : client_key{client}, server_key{server} {}
    scram_keys(const scram_keys&) = default;
    scram_keys& operator=(const scram_keys&) = default;
    friend bool operator==(const scram_keys&, const scram_keys&) = default;
};

// RFC 5802 section 3. SLOW (PBKDF2, milliseconds for 4096 iterations): never on a worker. Any
// thread. The password goes through SASLprep as PostgreSQL does it: one that is not UTF-8 or has
// prohibited characters is taken as it is. REQUIRES: iterations >= 1.
[[nodiscard]] scram_keys derive_scram_keys(std::string_view password,
                                           std::string_view salt,
                                           int iterations);
// SLOW, as above.
[[nodiscard]] scram_verifier make_scram_verifier(std::string_view password,
                                                 std::string_view salt,
                                                 int iterations);
// Cheap: one hash. `salt` and `iterations` are those that `keys` were derived with.
[[nodiscard]] scram_verifier to_verifier(const scram_keys& keys,
                                         std::string_view salt,
                                         int iterations);

// The verifier of a user who does not exist. Salt: from `seed` and the name, so that it stays the
// same from one attempt to the next and unknown users cannot be told from known ones (as
// PostgreSQL's mock authentication). Its keys match no password.
[[nodiscard]] scram_verifier mock_verifier(std::string_view user,
                                           const digest& seed,
                                           int iterations);

}  // namespace pgweir::auth
