// The command line, through CLI11.
#include "pgweir/app/options.hpp"

#include <CLI/CLI.hpp>

namespace pgweir::app {

options parse_command_line(int argc, char** argv) {
    options o;
    CLI::App app{"pgweir: thousands of PostgreSQL clients on a few server connections", "pgweir"};
    app.set_version_flag("--version,-V", "pgweir " PGWEIR_VERSION);
    app.require_subcommand(1);

    auto* run = app.add_subcommand("run", "Serve clients in the foreground until a signal ends it");
    run->add_option("-c,--config", o.config_file, "Configuration file (TOML)")->required();
    run->add_flag("--allow-root", o.may_stay_root, "Run as root, with all that this allows");
    auto* check = app.add_subcommand("check", "Say everything that is wrong with a configuration");
    check->add_option("-c,--config", o.config_file, "Configuration file (TOML)")->required();
    auto* verifier = app.add_subcommand(
        "scram-verifier", "Read a password from standard input, print its SCRAM-SHA-256 verifier");
    verifier->add_option("--iterations", o.iterations, "Rounds of hashing")
        ->check(CLI::Range(1, 10'000'000))
        ->capture_default_str();

    try {
        app.parse(argc, argv);
    } catch (const CLI::ParseError& e) {
        o.exit_code = app.exit(e) == 0 ? 0 : 2;
        return o;
    }
    o.what = run->parsed()     ? command::run
             : check->parsed() ? command::check
                               : command::scram_verifier;
    return o;
}

}  // namespace pgweir::app
