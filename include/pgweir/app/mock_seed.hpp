// The secret from which the salts of unknown users are made, kept over restarts.
#pragma once

#include "pgweir/auth/scram_keys.hpp"

#include <string>

namespace pgweir::app {

// Reads `state_dir`/mock_seed, or makes it (mode 0600). Where that cannot be done a seed is made up
// for this process alone, and the log says so: after a restart a salt that has changed gives away
// that nobody has that name. Two processes that begin at once agree. Blocks on the file; after
// start_logging().
[[nodiscard]] auth::digest load_mock_seed(const std::string& state_dir);

}  // namespace pgweir::app
