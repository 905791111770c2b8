// Who is at the other end of a unix socket.
#pragma once

#include <optional>
#include <string>
#include <sys/types.h>

namespace pgweir::net {

// The effective user that connected, from the kernel (SO_PEERCRED); nullopt: it is no unix socket,
// or it is gone.
[[nodiscard]] std::optional<uid_t> peer_user(int fd) noexcept;

// What the system calls that user (getpwuid_r); empty with `error` set when it does not. BLOCKS
// where a name service is asked: never on a worker.
[[nodiscard]] std::string user_name(uid_t user, std::string& error);

}  // namespace pgweir::net
