// Pooled buffers.
#include "pgweir/net/buffer.hpp"

#include <algorithm>
#include <cstring>
#include <utility>

namespace pgweir::net {

buffer_pool::~buffer_pool() {
    for (auto& s : shelves_) {
        for (char* p : s.free) {
            delete[] p;
        }
    }
}

buffer_pool::block buffer_pool::take(std::size_t size) {
    for (std::size_t i = 0; i < sizes.size(); ++i) {
        if (size > sizes[i]) {
            continue;
        }
        auto& s = shelves_[i];
        if (s.free.empty()) {
            // The list of free blocks must be able to take all back without allocating.
            if (s.free.capacity() <= s.used) {
                s.free.reserve(2 * (s.used + 1));
            }
            char* p = new char[sizes[i]];
            ++s.used;
            return {p, sizes[i]};
        }
        ++s.used;
        char* p = s.free.back();
        s.free.pop_back();
        s.least = std::min(s.least, s.free.size());
        return {p, sizes[i]};
    }
    char* p = new char[size];
    ++large_;
    large_bytes_ += size;
    return {p, size};
}

void buffer_pool::give(block b) noexcept {
    const auto at = std::find(sizes.begin(), sizes.end(), b.capacity);
    if (at == sizes.end()) {
        --large_;
        large_bytes_ -= b.capacity;
        delete[] b.data;
        return;
    }
    auto& s = shelves_[static_cast<std::size_t>(at - sizes.begin())];
    --s.used;
    if (s.free.size() == s.free.capacity()) {
        delete[] b.data;
        return;
    }
    s.free.push_back(b.data);
}

std::array<buffer_pool::usage, 5> buffer_pool::use() const noexcept {
    std::array<usage, sizes.size() + 1> all;
    for (std::size_t i = 0; i < sizes.size(); ++i) {
        const auto& s = shelves_[i];
        all[i] = {sizes[i], s.used, s.free.size(), sizes[i] * (s.used + s.free.size())};
    }
    all.back() = {0, large_, 0, large_bytes_};
    return all;
}

std::size_t buffer_pool::bytes_in_use() const noexcept {
    std::size_t bytes = large_bytes_;
    for (std::size_t i = 0; i < sizes.size(); ++i) {
        bytes += sizes[i] * shelves_[i].used;
    }
    return bytes;
}

void buffer_pool::trim() noexcept {
    for (auto& s : shelves_) {
        for (; s.least > 0; --s.least) {
            delete[] s.free.back();
            s.free.pop_back();
        }
        s.least = s.free.size();
    }
}

void buffer::swap(buffer& other) noexcept {
    std::swap(pool_, other.pool_);
    std::swap(data_, other.data_);
    std::swap(capacity_, other.capacity_);
    std::swap(begin_, other.begin_);
    std::swap(end_, other.end_);
}

void buffer::append(buffer_pool& pool, std::string_view bytes) {
    if (bytes.empty()) {
        return;
    }
    if (capacity_ - end_ < bytes.size()) {
        const auto need = size() + bytes.size();
        if (capacity_ >= need) {
            std::memmove(data_, data_ + begin_, size());
        } else {
            const auto b = pool.take(need);
            if (!empty()) {
                std::memcpy(b.data, data_ + begin_, size());
            }
            const auto kept = size();
            reset();
            pool_ = &pool;
            data_ = b.data;
            capacity_ = static_cast<std::uint32_t>(b.capacity);
            end_ = static_cast<std::uint32_t>(kept);
            begin_ = 0;
        }
        end_ -= begin_;
        begin_ = 0;
    }
    std::memcpy(data_ + end_, bytes.data(), bytes.size());
    end_ += static_cast<std::uint32_t>(bytes.size());
}

void buffer::consume(std::size_t n) noexcept {
    begin_ += static_cast<std::uint32_t>(n);
    if (begin_ == end_) {
        reset();
    }
}

void buffer::reset() noexcept {
    if (data_ != nullptr) {
        pool_->give({data_, capacity_});
        data_ = nullptr;
    }
    capacity_ = begin_ = end_ = 0;
}

}  // namespace pgweir::net
