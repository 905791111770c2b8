// Rules that concern more than one key.
#pragma once

#include "config/section_reader.hpp"

namespace pgweir::config {

// Complains to `reader` about combinations of valid values that cannot work.
void check_consistency(const snapshot& read, section_reader& reader);

}  // namespace pgweir::config
