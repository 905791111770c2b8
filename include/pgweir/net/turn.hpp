// How much one connection may have done before the others of its worker have their turn.
#pragma once

namespace pgweir::net {

// How often a connection is read, on either leg; then it calls itself again (stream::call_again()).
inline constexpr int receives_a_turn = 4;

}  // namespace pgweir::net
