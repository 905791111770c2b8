// Reads the files of access rules that the configuration names.
#pragma once

#include "pgweir/config/load.hpp"

#include <vector>

namespace pgweir::config {

// Sets `out.access` where auth.method is hba and a file is named; adds what is wrong with the files
// to `problems`. Blocks on files.
void read_access_files(snapshot& out, std::vector<problem>& problems);

}  // namespace pgweir::config
