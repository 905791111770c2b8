// Files and directories for the parser of access rules.
#include "config/access_files.hpp"

#include "config/file_closer.hpp"
#include "pgweir/auth/access_rules.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <filesystem>
#include <sys/stat.h>
#include <unistd.h>

namespace pgweir::config {
namespace {

constexpr std::size_t largest_rule_file = 4u << 20;
constexpr std::size_t most_rule_problems = 100;

class file_system : public auth::rule_source {
public:
    file read(const std::string& path) override {
        // O_NONBLOCK: a FIFO in the place of the file must not stop the start.
        const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
        if (fd < 0) {
            return {{}, std::strerror(errno), errno == ENOENT};
        }
        const file_closer closer{fd};
        struct stat status {};
        if (::fstat(fd, &status) != 0 || !S_ISREG(status.st_mode)) {
            return {{}, "not a regular file"};
        }
        // Who writes here decides who logs in.
        if ((status.st_mode & S_IWOTH) != 0) {
            return {{}, "every user of this machine can write to it; chmod o-w the file"};
        }
        file out;
        std::array<char, 65'536> chunk{};
        ssize_t got = 0;
        while ((got = ::read(fd, chunk.data(), chunk.size())) > 0) {
            out.text.append(chunk.data(), static_cast<std::size_t>(got));
            if (out.text.size() > largest_rule_file) {
                return {{}, "larger than 4 MiB"};
            }
        }
        if (got < 0) {
            return {{}, std::strerror(errno)};
        }
        return out;
    }

    listing list(const std::string& directory) override {
        listing out;
        std::error_code error;
        const std::filesystem::directory_iterator end;
        for (std::filesystem::directory_iterator i{directory, error}; !error && i != end;
             i.increment(error)) {
            const auto name = i->path().filename().string();
            std::error_code ignored;
            const bool wanted =
                name.ends_with(".conf") && !name.starts_with('.') && !i->is_directory(ignored);
            if (wanted) {
                out.paths.push_back(i->path().string());
            }
        }
        if (error) {
            out.error = error.message();
        }
        std::ranges::sort(out.paths);
        return out;
    }
};

std::string beside(const std::string& configuration, const std::string& name) {
    if (name.empty() || name.starts_with('/')) {
        return name;
    }
    return configuration.substr(0, configuration.rfind('/') + 1) + name;
}

// One line of printable text, whatever stands in the file.
std::string printable(std::string text) {
    std::ranges::replace_if(
        text, [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7F; }, '?');
    return text;
}

// PostgreSQL says so to each client.
void check_certificates(const snapshot& read, std::vector<problem>& problems) {
    if (!read.client_tls.ca.empty()) {
        return;
    }
    for (const auto& rule : read.access->rules()) {
        if (rule.clientcert != auth::certificate_check::none) {
            problems.push_back({printable(rule.file), rule.line, 0,
                                "client certificates can only be checked if a root certificate "
                                "store is available",
                                "set client_tls.ca", true});
        }
    }
}

}  // namespace

void read_access_files(snapshot& out, std::vector<problem>& problems) {
    if (out.auth.method != login_method::hba || out.auth.hba_file.empty()) {
        return;
    }
    file_system files;
    auto parsed = auth::access_rules::parse(beside(out.path, out.auth.hba_file),
                                            beside(out.path, out.auth.ident_file), files);
    if (auto* rules = std::get_if<std::shared_ptr<const auth::access_rules>>(&parsed)) {
        out.access = std::move(*rules);
        check_certificates(out, problems);
        return;
    }
    const auto& found = std::get<std::vector<auth::rule_problem>>(parsed);
    for (const auto& p : found) {
        if (&p - found.data() == most_rule_problems) {
            problems.push_back({p.file,
                                0,
                                0,
                                "and " + std::to_string(found.size() - most_rule_problems) +
                                    " further problems in files of access rules",
                                {},
                                true});
            break;
        }
        problems.push_back(
            {printable(p.file), p.line, 0, printable(p.message), printable(p.hint), true});
    }
}

}  // namespace pgweir::config
