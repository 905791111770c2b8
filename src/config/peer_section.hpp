// Reads [peer.ID], and says which of the peers this pgweir is.
#pragma once

#include "config/section_reader.hpp"
#include "config/value_kinds.hpp"
#include "pgweir/config/snapshot.hpp"

#include <string>

namespace pgweir::config {

// A number up to max_peer_id, or { env = "NAME" }: instances that share one file are told apart by
// their environment.
struct peer_number {
    using value_type = unsigned;
    [[nodiscard]] reading read(const node& n, unsigned& out, const reading_place&) const;
    [[nodiscard]] std::string print(unsigned value) const { return std::to_string(value); }
};

// One section [peer.ID] into `out`.
void read_peer(const node& n, snapshot& out, section_reader& reader);

}  // namespace pgweir::config
