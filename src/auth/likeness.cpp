// Counting what secrets look like.
#include "pgweir/auth/likeness.hpp"

#include "pgweir/auth/secret_kind.hpp"

#include <algorithm>

namespace pgweir::auth {

void census::count(std::string_view secret, int change) {
    const auto kind = kind_of(secret);
    if (kind == secret_kind::none) {
        return;
    }
    users_ += change;
    int iterations = default_scram_iterations;
    if (kind == secret_kind::scram) {
        verifiers_ += change;
        iterations = scram_verifier::parse(secret)->iterations;
    }
    // SCRAM with an md5 secret fails with a mock salt of the default kind.
    if ((by_iterations_[iterations] += change) == 0) {
        by_iterations_.erase(iterations);
    }
}

likeness census::most() const {
    likeness out;
    if (!by_iterations_.empty()) {
        out.iterations = std::ranges::max_element(by_iterations_, {}, [](const auto& i) {
                             return i.second;
                         })->first;
    }
    out.scram = verifiers_ * 2 > users_;
    return out;
}

}  // namespace pgweir::auth
