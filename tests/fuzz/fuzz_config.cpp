// Feeds arbitrary text to the configuration loader, which must answer with a snapshot or problems.
#include "pgweir/config/load.hpp"

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    namespace config = pgweir::config;
    const std::string_view text{reinterpret_cast<const char*>(data), size};
    const auto result = config::load_text(text, "fuzz.toml");
    if (const auto* problems = std::get_if<std::vector<config::problem>>(&result)) {
        if (problems->empty()) {
            std::abort();
        }
        for (const auto& problem : *problems) {
            // One problem is one line wherever it is shown.
            if (problem.text().find('\n') != std::string::npos) {
                std::abort();
            }
        }
    } else {
        const auto& snapshot = *std::get<0>(result);
        if (!config::diff(snapshot, snapshot).changed.empty()) {
            std::abort();
        }
    }
    return 0;
}
