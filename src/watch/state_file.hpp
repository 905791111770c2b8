// The file in which a cluster's state survives a restart.
#pragma once

#include "pgweir/cluster/state.hpp"

#include <string>

namespace pgweir::watch {

// A missing file is a cluster of which nothing is known yet. Throws std::runtime_error, naming the
// file and what to do, when it is there and cannot be read whole, or could not be written later.
[[nodiscard]] cluster::cluster_state load_state(const std::string& path);

// Replaces the file at once or not at all, and returns when that is on disk. Blocks. Empty: done;
// else why not.
[[nodiscard]] std::string store_state(const std::string& path, const cluster::cluster_state& state);

}  // namespace pgweir::watch
