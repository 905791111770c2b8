// Where the files of access rules are read from: pure code asks, its caller performs.
#pragma once

#include <string>
#include <vector>

namespace pgweir::auth {

// Paths are absolute, or whatever the caller of the parser began with; what an included file is
// called is laid over the directory of the file that includes it.
class rule_source {
public:
    struct file {
        std::string text;
        std::string error;        // why it cannot be read; empty: it could
        bool is_missing = false;  // with `error`: there is no such file
    };
    struct listing {
        std::vector<std::string> paths;  // what ends in ".conf" and does not begin with "."
        std::string error;
    };

    virtual ~rule_source() = default;
    [[nodiscard]] virtual file read(const std::string& path) = 0;
    // In the order of their names.
    [[nodiscard]] virtual listing list(const std::string& directory) = 0;
};

}  // namespace pgweir::auth
