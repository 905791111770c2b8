// A BIO over memory: no copy in between, no socket behind it.
#include "tls/wire_bio.hpp"

#include <algorithm>
#include <cstring>
#include <exception>
#include <new>

namespace pgweir::tls {
namespace {

int read_wire(BIO* b, char* into, int size) {
    auto& w = wire_of(b);
    BIO_clear_retry_flags(b);
    if (w.in.empty() || w.messages_left == 0) {
        BIO_set_retry_read(b);
        return -1;
    }
    const auto n = std::min(w.in.size(), static_cast<std::size_t>(size));
    std::memcpy(into, w.in.data(), n);
    w.in.remove_prefix(n);
    return static_cast<int>(n);
}

int write_wire(BIO* b, const char* from, int size) try {
    auto& w = wire_of(b);
    BIO_clear_retry_flags(b);
    const auto n = static_cast<std::size_t>(size);
    if (w.overflow == nullptr && n <= w.room.size() - w.used) {
        std::memcpy(w.room.data() + w.used, from, n);
        w.used += n;
        return size;
    }
    if (w.overflow == nullptr) {
        w.overflow = std::make_unique<std::string>();
    }
    w.overflow->append(from, n);
    return size;
} catch (const std::bad_alloc&) {
    return -1;  // not to be thrown through OpenSSL; it fails the connection
}

long control(BIO*, int command, long, void*) { return command == BIO_CTRL_FLUSH ? 1 : 0; }

BIO_METHOD* make_method() {
    auto* m = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "pgweir wire");
    if (m == nullptr) {
        throw std::bad_alloc{};
    }
    BIO_meth_set_read(m, read_wire);
    BIO_meth_set_write(m, write_wire);
    BIO_meth_set_ctrl(m, control);
    return m;
}

}  // namespace

void set_wire(BIO* b, wire* w) noexcept { BIO_set_data(b, w); }

wire& wire_of(BIO* b) noexcept { return *static_cast<wire*>(BIO_get_data(b)); }

bio_ptr make_bio() {
    static const std::unique_ptr<BIO_METHOD, freed_by<BIO_meth_free>> method{make_method()};
    bio_ptr b{BIO_new(method.get())};
    if (!b) {
        throw std::bad_alloc{};
    }
    BIO_set_init(b.get(), 1);
    return b;
}

}  // namespace pgweir::tls
