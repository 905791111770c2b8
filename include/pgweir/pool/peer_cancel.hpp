// Cancel requests that came to the wrong one of several pgweirs behind one name.
#pragma once

#include "pgweir/config/snapshot.hpp"
#include "pgweir/protocol/startup.hpp"

#include <functional>
#include <optional>

namespace pgweir::pool {

class slices;

// A request that is passed on says so in front of its key, so that whoever gets it passes it on no
// further, wherever the addresses of peers lead to. Nothing: there is no room for that.
[[nodiscard]] std::optional<protocol::cancel_request> mark_passed_on(
    const protocol::cancel_request& request);
// Takes that off again; false: nobody has passed `request` on.
bool unmark_passed_on(protocol::cancel_request& request);

// Sends the request to `peer`, one address of its host after the other until one takes it; over TLS
// as the peer's settings say. `done` is told on the worker of `home` whether it was taken, once the
// peer has passed it on to PostgreSQL or given up; never when the worker ends before. Worker
// thread.
void send_to_peer(slices& home,
                  const config::snapshot& snapshot,
                  const config::peer_settings& peer,
                  const protocol::cancel_request& request,
                  std::function<void(bool taken)> done);

}  // namespace pgweir::pool
