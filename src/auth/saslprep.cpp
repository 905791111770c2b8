// SASLprep of a password by libidn's stringprep, in PostgreSQL's order of steps.
#include "auth/saslprep.hpp"

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <stringprep.h>
#include <vector>

namespace pgweir::auth {
namespace {

bool is_ascii(std::string_view text) {
    return std::all_of(text.begin(), text.end(),
                       [](char c) { return static_cast<unsigned char>(c) < 0x80; });
}

struct freer {
    void operator()(void* p) const noexcept { std::free(p); }
};

// libidn's own profile normalises before it looks for prohibited characters, PostgreSQL after
// (pg_saslprep): U+0341 is refused there, and would be a plain accent here.
std::vector<Stringprep_profile> make_profile() {
    std::vector<Stringprep_profile> steps;
    Stringprep_profile normalise{};
    const Stringprep_profile* step = stringprep_saslprep;
    for (; step->operation != 0; ++step) {
        if (step->operation == STRINGPREP_NFKC) {
            normalise = *step;
        } else {
            steps.push_back(*step);
        }
    }
    // A forbidden character may be one that mapping removes, so mapping comes first.
    std::stable_partition(steps.begin(), steps.end(), [](const Stringprep_profile& s) {
        return s.operation == STRINGPREP_MAP_TABLE;
    });
    steps.push_back(normalise);
    steps.push_back(*step);
    return steps;
}

std::string prepare(std::string_view password) {
    static const std::vector<Stringprep_profile> profile = make_profile();
    std::size_t count = 0;
    const std::unique_ptr<std::uint32_t, freer> decoded{
        stringprep_utf8_to_ucs4(password.data(), static_cast<ssize_t>(password.size()), &count)};
    if (decoded == nullptr) {
        return {};
    }
    // NFKC makes at most 18 code points of one (U+FDFA).
    std::vector<std::uint32_t> chars(count * 18 + 1);
    std::copy_n(decoded.get(), count, chars.begin());
    const int rc =
        stringprep_4i(chars.data(), &count, chars.size(), STRINGPREP_NO_UNASSIGNED, profile.data());
    std::string out;
    if (rc == STRINGPREP_OK) {
        std::size_t size = 0;
        const std::unique_ptr<char, freer> text{
            stringprep_ucs4_to_utf8(chars.data(), static_cast<ssize_t>(count), nullptr, &size)};
        if (text != nullptr) {
            out.assign(text.get(), size);
        }
    }
    return out;
}

}  // namespace

std::string saslprep(std::string_view password) {
    if (!is_ascii(password)) {
        if (std::string prepared = prepare(password); !prepared.empty()) {
            return prepared;
        }
    }
    return std::string{password};
}

}  // namespace pgweir::auth
