// Reads one [cluster.NAME] with its nodes.
#pragma once

#include "config/section_reader.hpp"

namespace pgweir::config {

// Adds the cluster that `n` describes to `out`; says what is wrong with it by itself. What it has
// to do with other sections is left to check_consistency().
void read_cluster(const node& n, snapshot& out, section_reader& reader);

}  // namespace pgweir::config
