// From a file or text to a validated snapshot.
#include "pgweir/config/load.hpp"

#include "config/access_files.hpp"
#include "config/cluster_section.hpp"
#include "config/consistency.hpp"
#include "config/document.hpp"
#include "config/file_closer.hpp"
#include "config/peer_section.hpp"
#include "config/section_reader.hpp"
#include "config/unknown_name.hpp"
#include "config/user_file.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <exception>
#include <fcntl.h>
#include <functional>
#include <iterator>
#include <sys/stat.h>
#include <type_traits>
#include <unistd.h>

namespace pgweir::config {

namespace {

// Thousands of databases fit; reading /dev/zero by mistake ends.
constexpr std::size_t largest_text = 4u << 20;

// A database or user name as it may stand in [database.NAME].
reading check_name(const std::string& name) {
    if (name.empty()) {
        return fault{"has no name", {}};
    }
    return role_or_database(name);
}

void read_database(const node& n, snapshot& out, section_reader& reader) {
    const section_name section{"database.NAME", "database." + key_part(n.name)};
    if (!reader.expect_table(n, section.shown,
                             "each database has a section of its own: [database.NAME]")) {
        return;
    }
    if (const auto refused = check_name(n.name)) {
        reader.complain(n.name_at, section.shown + " " + refused->message);
    }
    if (n.name == "pgweir" || n.name == "pgbouncer") {
        reader.complain(n.name_at, section.shown + " is reserved for the console",
                        "call it something else and set dbname");
    }
    database_settings& database = out.databases[n.name];
    database.name = n.name;
    database.pool = out.pool;
    database.timeouts = out.timeouts;
    reader.read(n, section, database_rules(), database, {"pool", "timeouts", "tls"});
    const auto cluster = out.clusters.find(database.cluster);
    database.tls = cluster == out.clusters.end() ? out.server_tls : cluster->second.tls;
    if (const node* tls = n.child("tls");
        tls != nullptr && reader.expect_table(*tls, section.below("tls").shown)) {
        reader.read(*tls, section.below("tls"), server_tls_rules(), database.tls);
    }
    if (const node* pool = n.child("pool");
        pool != nullptr && reader.expect_table(*pool, section.below("pool").shown)) {
        reader.read(*pool, section.below("pool"), pool_rules(), database.pool);
    }
    if (const node* timeouts = n.child("timeouts");
        timeouts != nullptr && reader.expect_table(*timeouts, section.below("timeouts").shown)) {
        reader.read(*timeouts, section.below("timeouts"), database_timeout_rules(),
                    database.timeouts);
    }
}

void read_user(const node& n, snapshot& out, section_reader& reader) {
    const section_name section{"user.NAME", "user." + key_part(n.name)};
    if (!reader.expect_table(n, section.shown, "each user has a section of its own: [user.NAME]")) {
        return;
    }
    if (const auto refused = check_name(n.name)) {
        reader.complain(n.name_at, section.shown + " " + refused->message);
    }
    if (n.name == "*") {
        reader.complain(n.name_at, "users have no fallback", "name each user");
    }
    user_settings& user = out.users[n.name];
    user.name = n.name;
    reader.read(n, section, user_rules(), user, {"pool", "timeouts"});
    if (const node* pool = n.child("pool");
        pool != nullptr && reader.expect_table(*pool, section.below("pool").shown)) {
        reader.read(*pool, section.below("pool"), user_pool_rules(), user.pool);
    }
    if (const node* timeouts = n.child("timeouts");
        timeouts != nullptr && reader.expect_table(*timeouts, section.below("timeouts").shown)) {
        reader.read(*timeouts, section.below("timeouts"), user_timeout_rules(), user.timeouts);
    }
}

bool read_global_section(const node& n, snapshot& out, section_reader& reader) {
    bool known = false;
    for_each_global_section([&](const char* name, auto part, const auto& rules) {
        if (n.name == name) {
            known = true;
            if (reader.expect_table(n, n.name)) {
                reader.read(n, {n.name, n.name}, rules, std::invoke(part, out));
            }
        }
    });
    return known;
}

void complain_about_unknown(const node& n, section_reader& reader) {
    const std::string name = n.name.size() > 63 ? "..." : n.name;
    if (n.is_table()) {
        reader.complain(n.name_at, "unknown section [" + key_part(name) + "]",
                        hint_for_section(n.name));
    } else {
        reader.complain(n.name_at, "unknown key " + toml_string(name) + " outside any section",
                        hint_for_key("", "", n.name));
    }
}

void read_root(const node& root, snapshot& out, section_reader& reader) {
    for (const node& n : root.children) {
        const bool named =
            n.name == "cluster" || n.name == "database" || n.name == "user" || n.name == "peer";
        if (!named && !read_global_section(n, out, reader)) {
            complain_about_unknown(n, reader);
        }
    }
    if (const node* clusters = root.child("cluster");
        clusters != nullptr && reader.expect_table(*clusters, "cluster", "[cluster.NAME]")) {
        for (const node& n : clusters->children) {
            read_cluster(n, out, reader);
        }
    }
    // Last, because databases start from the global [pool] and [timeouts] wherever those stand.
    if (const node* databases = root.child("database");
        databases != nullptr && reader.expect_table(*databases, "database", "[database.NAME]")) {
        for (const node& n : databases->children) {
            read_database(n, out, reader);
        }
    }
    if (const node* users = root.child("user");
        users != nullptr && reader.expect_table(*users, "user", "[user.NAME]")) {
        for (const node& n : users->children) {
            read_user(n, out, reader);
        }
    }
    if (const node* peers = root.child("peer");
        peers != nullptr && reader.expect_table(*peers, "peer", "[peer.ID]")) {
        for (const node& n : peers->children) {
            read_peer(n, out, reader);
        }
    }
}

std::vector<effective_key> effective_keys(const snapshot& s) {
    std::vector<effective_key> keys;
    for_each_global_section([&](const std::string& section, auto part, const auto& rules) {
        const auto& settings = std::invoke(part, s);
        const std::remove_cvref_t<decltype(settings)> initial{};
        for (const auto& r : rules) {
            keys.push_back(
                {section + "." + r.name, r.write(settings), r.write(initial), r.reloadable});
        }
    });
    std::ranges::sort(keys, {}, &effective_key::key);
    return keys;
}

// Is a password written down in the file itself?
bool holds_secret(const node& n) {
    const auto* text = std::get_if<std::string>(&n.value);
    return (text != nullptr && !text->empty() && n.name.ends_with("password")) ||
           std::ranges::any_of(n.children, holds_secret);
}

load_result build(std::string_view toml, const std::string& path, bool is_readable_by_all) {
    auto document = parse_document(toml, path);
    if (auto* broken = std::get_if<problem>(&document)) {
        return std::vector<problem>{std::move(*broken)};
    }
    auto out = std::make_shared<snapshot>();
    out->path = path;
    section_reader reader{path};
    read_root(std::get<node>(document), *out, reader);
    check_consistency(*out, reader);
    auto problems = reader.take_problems();
    read_access_files(*out, problems);
    // Behind the rest: whoever has a section is judged by that.
    auto in_file = add_user_file(*out, reader.directory());
    std::ranges::move(in_file, std::back_inserter(problems));
    if (!problems.empty()) {
        return problems;
    }
    out->keys = effective_keys(*out);
    if (is_readable_by_all && holds_secret(std::get<node>(document))) {
        out->warnings.push_back(path +
                                " holds passwords, and every user of this machine can read it: "
                                "chmod o-r the file, or keep them in files of their own");
    }
    return std::shared_ptr<const snapshot>{std::move(out)};
}

load_result only(const std::string& path, std::string message, std::string hint = {}) {
    return std::vector<problem>{{path, 0, 0, std::move(message), std::move(hint)}};
}

}  // namespace

std::string problem::text() const {
    std::string out = file;
    if (line != 0) {
        out += ":" + std::to_string(line);
    }
    if (column != 0) {
        out += ":" + std::to_string(column);
    }
    out += ": " + message;
    return hint.empty() ? out : out + " (" + hint + ")";
}

namespace {

load_result load_text(std::string_view toml, const std::string& path, bool is_readable_by_all) {
    if (toml.size() > largest_text) {
        return only(path, "larger than 4 MiB");
    }
    try {
        return build(toml, path, is_readable_by_all);
    } catch (const std::exception& error) {
        return only(path, std::string{"cannot be loaded: "} + error.what());
    }
}

}  // namespace

load_result load_text(std::string_view toml, const std::string& path) {
    return load_text(toml, path, false);
}

load_result load_file(const std::string& path) {
    const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOCTTY);
    if (fd < 0) {
        return only(path, std::string{"cannot be opened: "} + std::strerror(errno));
    }
    const file_closer closer{fd};
    struct stat status {};
    // Whoever writes here says who logs in, and where to. A pipe has no others.
    if (::fstat(fd, &status) == 0 && S_ISREG(status.st_mode) && (status.st_mode & S_IWOTH) != 0) {
        return only(path, "every user of this machine can write to it", "chmod o-w the file");
    }
    const bool is_readable_by_all = S_ISREG(status.st_mode) && (status.st_mode & S_IROTH) != 0;
    std::string text;
    std::array<char, 65'536> chunk{};
    ssize_t got = 0;
    while (text.size() <= largest_text && (got = ::read(fd, chunk.data(), chunk.size())) > 0) {
        text.append(chunk.data(), static_cast<std::size_t>(got));
    }
    const int failed = got < 0 ? errno : 0;
    auto result = failed == 0 ? load_text(text, path, is_readable_by_all)
                              : only(path, std::string{"cannot be read: "} + std::strerror(failed));
    // The file may hold passwords.
    base::wipe(text.data(), text.size());
    base::wipe(chunk.data(), chunk.size());
    return result;
}

}  // namespace pgweir::config
