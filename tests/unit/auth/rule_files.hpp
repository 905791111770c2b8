// Files of access rules in memory.
#pragma once

#include "pgweir/auth/access_rules.hpp"

#include <map>
#include <string>

namespace pgweir::auth {

struct rule_files : rule_source {
    std::map<std::string, std::string> texts;  // by path

    rule_files(std::initializer_list<std::pair<const std::string, std::string>> files)
        : texts{files} {}

    file read(const std::string& path) override {
        const auto found = texts.find(path);
        return found == texts.end() ? file{{}, "No such file or directory", true}
                                    : file{found->second, {}, false};
    }
    listing list(const std::string& directory) override {
        listing out;
        for (const auto& [path, text] : texts) {
            if (path.starts_with(directory + "/") && path.ends_with(".conf")) {
                out.paths.push_back(path);
            }
        }
        if (out.paths.empty()) {
            out.error = "No such file or directory";
        }
        return out;
    }
};

}  // namespace pgweir::auth
