// Receiving and sending with what was left over.
#include "pgweir/net/channel.hpp"

#include <algorithm>
#include <cstring>

namespace pgweir::net {

channel::input channel::receive() {
    const auto scratch = loop_->scratch();
    // What is kept came out of the scratch, so it fits; when it fills it, it must shrink first.
    const auto kept = in_.size();
    if (kept != 0) {
        std::memcpy(scratch.data(), in_.view().data(), kept);
        in_.reset();
    }
    if (!stream_.readable() || kept == scratch.size()) {
        return {{scratch.data(), kept}, io_status::would_block};
    }
    const auto r = stream_.receive(scratch.subspan(kept));
    return {{scratch.data(), kept + r.size}, r.status};
}

bool channel::send(std::span<const iovec> pieces) {
    std::size_t sent = 0;
    if (out_.empty() && stream_.writable()) {
        const auto r = stream_.send(pieces);
        if (r.status == io_status::closed) {
            return false;
        }
        sent = r.size;
    }
    for (const auto& p : pieces) {
        const auto skip = std::min(sent, p.iov_len);
        sent -= skip;
        out_.append(loop_->buffers(),
                    {static_cast<const char*>(p.iov_base) + skip, p.iov_len - skip});
    }
    return true;
}

bool channel::flush() {
    while (!out_.empty() && stream_.writable()) {
        const auto piece = as_piece(out_.view());
        const auto r = stream_.send({&piece, 1});
        if (r.status == io_status::closed) {
            return false;
        }
        out_.consume(r.size);
    }
    return true;
}

}  // namespace pgweir::net
