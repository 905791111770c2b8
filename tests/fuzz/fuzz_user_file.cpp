// Feeds arbitrary text to the reader of user files, which must answer with users or problems.
#include "config/user_file.hpp"

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    namespace config = pgweir::config;
    const std::string_view text{reinterpret_cast<const char*>(data), size};
    const auto result = config::parse_user_file(text, "users.txt");
    if (const auto* problems = std::get_if<std::vector<config::problem>>(&result)) {
        if (problems->empty()) {
            std::abort();
        }
        for (const auto& problem : *problems) {
            // One problem is one line, and says which.
            if (problem.line == 0 || problem.text().find('\n') != std::string::npos) {
                std::abort();
            }
        }
    } else {
        for (const auto& user : std::get<std::vector<config::user_entry>>(result)) {
            if (user.name.empty() || user.name.find('\n') != std::string::npos) {
                std::abort();
            }
        }
    }
    return 0;
}
