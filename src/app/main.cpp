// Entry point.
#include "pgweir/app/options.hpp"
#include "pgweir/app/privileges.hpp"
#include "pgweir/app/server_process.hpp"
#include "pgweir/auth/random.hpp"
#include "pgweir/auth/scram_keys.hpp"
#include "pgweir/base/log.hpp"
#include "pgweir/config/load.hpp"
#include "pgweir/pool/tls_store.hpp"

#include <cstdio>
#include <exception>
#include <iostream>
#include <malloc.h>
#include <string>
#include <unistd.h>
#include <variant>
#include <vector>

namespace {

using pgweir::app::options;

std::shared_ptr<const pgweir::config::snapshot> load(const options& o) {
    auto loaded = pgweir::config::load_file(o.config_file);
    if (const auto* problems = std::get_if<std::vector<pgweir::config::problem>>(&loaded)) {
        for (const auto& p : *problems) {
            std::cerr << p.text() << '\n';
        }
        std::cerr << o.config_file << ": " << problems->size()
                  << (problems->size() == 1 ? " problem\n" : " problems\n");
        return nullptr;
    }
    return std::get<std::shared_ptr<const pgweir::config::snapshot>>(loaded);
}

int print_verifier(const options& o) {
    std::string password;
    if (!std::getline(std::cin, password) || password.empty()) {
        std::cerr << "pgweir: give the password on standard input, as one line\n";
        return 2;
    }
    unsigned char salt[pgweir::auth::default_scram_salt_size];
    pgweir::auth::random_bytes(salt);
    const auto verifier = pgweir::auth::make_scram_verifier(
        password, {reinterpret_cast<const char*>(salt), sizeof salt}, o.iterations);
    pgweir::base::wipe(password.data(), password.size());
    std::cout << verifier.to_string() << '\n';
    return 0;
}

// What can be said of a configuration that has been read, as the account that would run with it.
int check(const options& o) {
    const auto snapshot = load(o);
    if (!snapshot) {
        return 2;
    }
    for (const auto& w : snapshot->warnings) {
        std::cerr << o.config_file << ": warning: " << w << '\n';
    }
    auto tls = pgweir::pool::tls_contexts::load(*snapshot);
    if (::geteuid() == 0) {
        try {
            pgweir::app::privileges rights{snapshot->process, true};
            if (tls.index() != 0 && rights.has_account()) {
                rights.lower();  // keys may be the account's
                tls = pgweir::pool::tls_contexts::load(*snapshot);
            }
        } catch (const std::exception& e) {
            std::cerr << o.config_file << ": " << e.what() << '\n';
            return 2;
        }
    }
    if (const auto* problems = std::get_if<std::vector<std::string>>(&tls)) {
        for (const auto& p : *problems) {
            std::cerr << o.config_file << ": " << p << '\n';
        }
        return 2;
    }
    std::cout << o.config_file << ": ok\n";
    return 0;
}

int run(const options& o) {
    const auto snapshot = load(o);
    if (!snapshot) {
        return 2;
    }
    // Large buffers come and go with bursts; below this size the heap would keep them for ever.
    ::mallopt(M_MMAP_THRESHOLD, 64 * 1024);
    pgweir::app::limit_core_dumps(snapshot->process.core_dumps);
    int code = 1;
    try {
        pgweir::app::server_process process{
            snapshot, pgweir::app::privileges{snapshot->process, o.may_stay_root}};
        code = process.run();
    } catch (const std::exception& e) {
        PGWEIR_LOG(critical, "cannot start: {}", e.what());
    }
    pgweir::base::stop_logging();
    return code;
}

}  // namespace

int main(int argc, char** argv) {
    const auto o = pgweir::app::parse_command_line(argc, argv);
    switch (o.what) {
        case pgweir::app::command::exit: return o.exit_code;
        case pgweir::app::command::run: return run(o);
        case pgweir::app::command::scram_verifier: return print_verifier(o);
        case pgweir::app::command::check: return check(o);
    }
    return 2;
}
