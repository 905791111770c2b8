// Receiving and sending with what was left over.
#include "pgweir/net/channel.hpp"

#include <algorithm>
#include <cstring>
#include <utility>

namespace pgweir::net {
namespace {

using tls::engine;
static_assert(loop::record_size == engine::record_size);
static_assert(loop::sealed_size >= engine::record_size + engine::record_overhead);

// Room that is left for plain text of records that were begun earlier.
constexpr std::size_t spare = engine::record_size;

// How much may wait to be sent when TLS itself wants to say something more. RFC 8446,
// section 4.6.3.
constexpr std::size_t most_unread = 256 * 1024;

}  // namespace

channel::input channel::receive() {
    const auto scratch = loop_->scratch();
    // What is kept came out of the scratch, so it fits; when it fills it, it must shrink first.
    const auto kept = in_.size();
    if (kept != 0) {
        std::memcpy(scratch.data(), in_.view().data(), kept);
        in_.reset();
    }
    if (!readable() || kept == scratch.size()) {
        return {{scratch.data(), kept}, io_status::would_block};
    }
    if (tls_ != nullptr) {
        return receive_tls(scratch, kept);
    }
    const auto r = stream_.receive(scratch.subspan(kept));
    return {{scratch.data(), kept + r.size}, r.status};
}

// What the engine holds already comes first: until that is gone the kernel keeps the rest.
channel::input channel::receive_tls(std::span<char> scratch, std::size_t kept) {
    std::string_view received;
    auto status = io_status::would_block;
    if (!tls_->has_pending()) {
        const auto room = scratch.size() - kept;
        const auto r =
            stream_.receive(loop_->sealed_scratch().first(std::max(room, 2 * spare) - spare));
        received = {loop_->sealed_scratch().data(), r.size};
        status = r.status;
    }
    const auto got = tls_->decrypt(received, scratch.subspan(kept));
    // An alert, or the answer to a KeyUpdate. That the connection broke shows by itself. Who makes
    // us say more and more of it, and reads nothing, is not waited for.
    const bool is_flooded = tls_->has_output() && out_.size() > most_unread;
    if (!is_flooded) {
        (void)send_tls_output();
    }
    if (got.then != engine::condition::open || is_flooded) {
        status = io_status::closed;
    } else if (status != io_status::closed) {
        status = got.size == 0 ? io_status::would_block : io_status::ok;
        if (got.size == 0 && stream_.readable()) {
            stream_.call_again();  // records without text: nobody would look at the rest
        }
    }
    return {{scratch.data(), kept + got.size}, status};
}

bool channel::send(std::span<const iovec> pieces) {
    return tls_ == nullptr ? send_raw(pieces) : send_tls(pieces);
}

bool channel::send_tls_output() {
    if (!tls_->has_output()) {
        return true;
    }
    const auto output = tls_->take_output();
    const auto piece = as_piece(output);
    return send_raw({&piece, 1});
}

bool channel::end_tls() {
    if (tls_ == nullptr) {
        return true;
    }
    tls_->close();
    return send_tls_output();
}

// Small pieces share a record, and records a send.
bool channel::send_tls(std::span<const iovec> pieces) {
    const auto sealed = loop_->sealed_scratch();
    const auto record = loop_->record_scratch();
    std::size_t used = 0;    // of `sealed`
    std::size_t copied = 0;  // into `record`
    const auto send_sealed = [&] {
        const iovec all{sealed.data(), std::exchange(used, 0)};
        return send_raw({&all, 1});
    };
    const auto seal = [&](std::string_view text) {
        if (sealed.size() - used < text.size() + engine::record_overhead && !send_sealed()) {
            return false;
        }
        const auto taken = tls_->encrypt(text, sealed.subspan(used));
        used += taken.value_or(0);
        return taken.has_value();
    };
    for (const auto& p : pieces) {
        std::string_view rest{static_cast<const char*>(p.iov_base), p.iov_len};
        while (!rest.empty()) {
            const bool is_alone =
                copied == 0 && (&p == &pieces.back() || rest.size() >= record.size());
            const auto part = rest.substr(0, record.size() - copied);
            rest.remove_prefix(part.size());
            if (is_alone) {
                if (!seal(part)) {
                    return false;
                }
                continue;
            }
            std::memcpy(record.data() + copied, part.data(), part.size());
            copied += part.size();
            if (copied == record.size() && !seal({record.data(), std::exchange(copied, 0)})) {
                return false;
            }
        }
    }
    return (copied == 0 || seal({record.data(), copied})) && (used == 0 || send_sealed());
}

bool channel::send_raw(std::span<const iovec> pieces) {
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
