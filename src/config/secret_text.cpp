// Fetches passwords and checks their form.
#include "config/secret_text.hpp"

#include "config/file_closer.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

namespace pgweir::config {

namespace {

constexpr std::size_t longest_secret = 4096;

bool is_base64(std::string_view text) {
    if (text.empty() || text.size() % 4 != 0) {
        return false;
    }
    for (int padding = 0; padding < 2 && text.ends_with('='); ++padding) {
        text.remove_suffix(1);
    }
    return std::ranges::all_of(text, [](char c) {
        return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
               c == '+' || c == '/';
    });
}

// SCRAM-SHA-256$<iterations>:<salt>$<StoredKey>:<ServerKey>, the last three in Base64.
bool is_scram_verifier(std::string_view rest) {
    unsigned iterations = 0;
    const auto [end, error] = std::from_chars(rest.data(), rest.data() + rest.size(), iterations);
    if (error != std::errc{} || iterations == 0) {
        return false;
    }
    rest.remove_prefix(static_cast<std::size_t>(end - rest.data()));
    const auto dollar = rest.find('$');
    const auto colon = rest.find(':', dollar == std::string_view::npos ? 0 : dollar);
    if (!rest.starts_with(':') || dollar == std::string_view::npos ||
        colon == std::string_view::npos) {
        return false;
    }
    const auto stored = rest.substr(dollar + 1, colon - dollar - 1);
    const auto server = rest.substr(colon + 1);
    constexpr std::size_t sha256_in_base64 = 44;
    return is_base64(rest.substr(1, dollar - 1)) && stored.size() == sha256_in_base64 &&
           is_base64(stored) && server.size() == sha256_in_base64 && is_base64(server);
}

reading from_file(const std::string& name, const std::string& directory, base::secret& out) {
    const std::string path = name.starts_with('/') ? name : directory + name;
    base::secret whole;
    // Room for the line's end.
    if (auto refused = read_private_file(path, longest_secret + 2, whole)) {
        return refused;
    }
    std::string text{whole.reveal()};
    if (text.ends_with('\n')) {
        text.pop_back();
        if (text.ends_with('\r')) {
            text.pop_back();
        }
    }
    out = base::secret{std::move(text)};
    return out.empty() ? reading{fault{"is in " + key_part(path) + ", which is empty", {}}}
                       : std::nullopt;
}

reading from_environment(const std::string& name, base::secret& out) {
    const char* value = std::getenv(name.c_str());
    if (value == nullptr || *value == '\0') {
        return fault{"is in the environment variable " + key_part(name) + ", which is not set", {}};
    }
    out = base::secret{value};
    return std::nullopt;
}

reading fetch(const node& n, const reading_place& place, base::secret& out) {
    static constexpr const char* shape = R"(write "TEXT", { file = "PATH" } or { env = "NAME" })";
    if (const auto* text = std::get_if<std::string>(&n.value)) {
        out = base::secret{*text};
        return std::nullopt;
    }
    if (!n.is_table()) {
        return fault{std::string{"must be a string or a table, not "} + kind_of(n), shape};
    }
    const auto* where =
        n.children.size() == 1 ? std::get_if<std::string>(&n.children[0].value) : nullptr;
    if (where == nullptr || where->empty() || any_text(*where)) {
        return fault{"must name one file or one environment variable", shape};
    }
    if (n.children[0].name == "file") {
        return from_file(*where, place.directory, out);
    }
    if (n.children[0].name == "env") {
        return from_environment(*where, out);
    }
    return fault{"must name one file or one environment variable", shape};
}

}  // namespace

reading read_private_file(const std::string& path, std::size_t most, base::secret& out) {
    const std::string shown = key_part(path);
    // O_NONBLOCK: a FIFO in the place of the file must not stop the start.
    const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0) {
        return fault{"cannot be read from " + shown + ": " + std::strerror(errno), {}};
    }
    const file_closer closer{fd};
    struct stat status {};
    if (::fstat(fd, &status) != 0 || !S_ISREG(status.st_mode)) {
        return fault{"cannot be read from " + shown + ": not a regular file", {}};
    }
    if ((status.st_mode & 0007) != 0) {
        return fault{"is in " + shown + ", which every user of this machine can get at",
                     "chmod o-rwx the file; for a container's secret set its mode to 0440"};
    }
    if (static_cast<std::uint64_t>(status.st_size) > most) {
        return fault{"is in " + shown + ", which is larger than " + std::to_string(most) + " bytes",
                     {}};
    }
    // All at once, so that no copy is left behind where the text grows; a byte more than there is
    // tells a file that grows meanwhile.
    std::string text(static_cast<std::size_t>(status.st_size) + 1, '\0');
    std::size_t size = 0;
    ssize_t got = 0;
    while (size < text.size() && (got = ::read(fd, text.data() + size, text.size() - size)) > 0) {
        size += static_cast<std::size_t>(got);
    }
    const int failed = got < 0 ? errno : 0;
    const bool has_grown = size == text.size();
    text.resize(size);
    out = base::secret{std::move(text)};
    if (failed != 0 || has_grown) {
        return fault{"cannot be read from " + shown + ": " +
                         (failed != 0 ? std::strerror(failed) : "it is being written"),
                     {}};
    }
    return std::nullopt;
}

secret_form form_of(std::string_view secret) {
    constexpr std::string_view scram_prefix = "SCRAM-SHA-256$";
    constexpr std::size_t md5_size = 35;
    if (secret.starts_with(scram_prefix)) {
        return is_scram_verifier(secret.substr(scram_prefix.size())) ? secret_form::scram_verifier
                                                                     : secret_form::malformed;
    }
    if (secret.starts_with("md5") && secret.size() == md5_size) {
        const bool hex = secret.find_first_not_of("0123456789abcdef", 3) == std::string_view::npos;
        return hex ? secret_form::md5 : secret_form::malformed;
    }
    return secret_form::plain;
}

reading check_secret(const base::secret& secret) {
    const auto text = secret.reveal();
    if (text.size() > longest_secret) {
        return fault{"is longer than " + std::to_string(longest_secret) + " bytes", {}};
    }
    if (text.find('\0') != std::string_view::npos) {
        return fault{"contains a NUL character", {}};
    }
    if (form_of(text) == secret_form::malformed) {
        return fault{"looks like a stored verifier but is not a complete one",
                     "copy rolpassword from pg_authid whole, or use a plain password that "
                     "does not look like one"};
    }
    return std::nullopt;
}

reading secret_text::read(const node& n, base::secret& out, const reading_place& place) const {
    base::secret fetched;
    if (auto refused = fetch(n, place, fetched)) {
        return refused;
    }
    if (auto refused = check_secret(fetched)) {
        return refused;
    }
    switch (form_of(fetched.reveal())) {
        case secret_form::plain:
        case secret_form::malformed: break;
        case secret_form::md5:
            if (forms == secret_forms::plain) {
                return fault{"is an md5 hash, but a plain password is needed", {}};
            }
            break;
        case secret_form::scram_verifier:
            if (forms != secret_forms::plain_md5_or_scram) {
                return fault{"is a SCRAM verifier, which cannot log in to a server",
                             "a plain password is needed"};
            }
            break;
    }
    out = std::move(fetched);
    return std::nullopt;
}

}  // namespace pgweir::config
