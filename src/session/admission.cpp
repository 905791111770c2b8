// Counting of those who try to log in.
#include "pgweir/session/admission.hpp"

#include "pgweir/base/byte_order.hpp"

#include <algorithm>
#include <netinet/in.h>

namespace pgweir::session {

std::optional<origin> origin_of(const net::address& peer) noexcept {
    if (peer.storage.ss_family == AF_INET) {
        const auto* a = reinterpret_cast<const sockaddr_in*>(&peer.storage);
        return origin{true, ntohl(a->sin_addr.s_addr)};
    }
    if (peer.storage.ss_family == AF_INET6) {
        const auto* a = reinterpret_cast<const sockaddr_in6*>(&peer.storage);
        const auto* bytes = reinterpret_cast<const char*>(&a->sin6_addr);
        if (IN6_IS_ADDR_V4MAPPED(&a->sin6_addr)) {
            return origin{true, base::load_be32(bytes + 12)};
        }
        return origin{false,
                      (std::uint64_t{base::load_be32(bytes)} << 32) | base::load_be32(bytes + 4)};
    }
    return std::nullopt;
}

void admission::configure(const limits& l) noexcept {
    const std::lock_guard lock{mutex_};
    limits_ = l;
}

unsigned admission::most() const noexcept {
    const std::lock_guard lock{mutex_};
    return limits_.in_all;
}

std::size_t admission::origins() const {
    const std::lock_guard lock{mutex_};
    return records_.size();
}

double admission::tokens_of(const record& r, base::time_point now) const noexcept {
    const std::chrono::duration<double> passed = now - r.counted_at;
    return std::min<double>(limits_.rate, r.tokens + passed.count() * limits_.rate);
}

// Whoever has nothing open and could come again at full speed need not be remembered.
void admission::sweep(base::time_point now) {
    std::erase_if(records_, [&](const auto& r) {
        return r.second.open == 0 && tokens_of(r.second, now) >= limits_.rate;
    });
    sweep_at_ = std::max<std::size_t>(64, 2 * records_.size());
}

std::optional<admission::refusal> admission::check(const origin& from, base::time_point now) {
    if (records_.size() >= sweep_at_) {
        sweep(now);
    }
    const auto [it, is_new] = records_.try_emplace(from);
    auto& r = it->second;
    if (is_new) {
        r.tokens = limits_.rate;
        r.counted_at = now;
    }
    if (limits_.per_origin != 0 && r.open >= limits_.per_origin) {
        return refusal::origin_full;
    }
    if (limits_.rate != 0) {
        r.tokens = tokens_of(r, now);
        r.counted_at = now;
        if (r.tokens < 1) {
            return refusal::too_fast;
        }
        r.tokens -= 1;
    }
    ++r.open;
    return std::nullopt;
}

admission::ticket admission::refuse(refusal why) noexcept {
    ++refused_[static_cast<std::size_t>(why)];
    return {};
}

admission::ticket admission::admit(const std::optional<origin>& from, base::time_point now) {
    const std::lock_guard lock{mutex_};
    if (count_.load() >= limits_.in_all) {
        return refuse(refusal::full);
    }
    if (from) {
        if (const auto why = check(*from, now)) {
            return refuse(*why);
        }
    }
    ++count_;
    return ticket{*this, from};
}

void admission::ticket::give_back() noexcept {
    auto* home = std::exchange(home_, nullptr);
    if (home == nullptr) {
        return;
    }
    --home->count_;
    if (from_) {
        const std::lock_guard lock{home->mutex_};
        const auto it = home->records_.find(*from_);
        if (--it->second.open == 0 && home->limits_.rate == 0) {
            home->records_.erase(it);
        }
    }
}

}  // namespace pgweir::session
