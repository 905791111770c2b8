// What the command line asks for.
#pragma once

#include <cstdint>
#include <string>

namespace pgweir::app {

enum class command : std::uint8_t {
    exit,  // nothing left to do (--help, --version, or an error that has been printed)
    run,
    check,
    scram_verifier,
};

struct options {
    command what = command::exit;
    int exit_code = 0;  // for command::exit
    std::string config_file;
    bool may_stay_root = false;  // run
    int iterations = 4096;
};

// Parses the command line, printing help and complaints itself. Never throws.
[[nodiscard]] options parse_command_line(int argc, char** argv);

}  // namespace pgweir::app
