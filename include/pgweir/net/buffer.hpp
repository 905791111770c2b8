// Bytes that had to be kept: owned only while there are any, taken from a pool of few sizes.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

namespace pgweir::net {

// Blocks in four sizes, kept for reuse so that a steady load allocates nothing; trim() returns what
// was not needed lately. One a worker; worker thread only; outlives the buffers it serves.
class buffer_pool {
public:
    struct block {
        char* data = nullptr;
        std::size_t capacity = 0;
    };

    buffer_pool() = default;
    buffer_pool(const buffer_pool&) = delete;
    buffer_pool& operator=(const buffer_pool&) = delete;
    ~buffer_pool();

    // At least `size` bytes. Sizes above the largest class are allocated and freed at once.
    [[nodiscard]] block take(std::size_t size);
    void give(block b) noexcept;
    // Frees the blocks that stayed unused since the last call. Call about once a second.
    void trim() noexcept;
    // Bytes in blocks that are in use.
    [[nodiscard]] std::size_t bytes_in_use() const noexcept;

    struct usage {
        std::size_t size = 0;  // of one block; 0: of those above the largest class, each another
        std::size_t used = 0;
        std::size_t free = 0;
        std::size_t bytes = 0;  // in all of them
    };
    // One entry a class, smallest first, then one for what is larger.
    [[nodiscard]] std::array<usage, 5> use() const noexcept;

private:
    static constexpr std::array<std::size_t, 4> sizes{1024, 8 * 1024, 32 * 1024, 128 * 1024};

    struct shelf {
        std::vector<char*> free;
        std::size_t least = 0;  // fewest free blocks since the last trim(): these were not needed
        std::size_t used = 0;
    };

    std::array<shelf, sizes.size()> shelves_;
    std::size_t large_ = 0;  // blocks above the largest class, and the bytes in them
    std::size_t large_bytes_ = 0;
};

// A queue of bytes in one block: appended at the end, consumed from the front. Empty = no block.
// Move-only; gives its block back when it empties or dies.
class buffer {
public:
    buffer() = default;
    buffer(buffer&& other) noexcept { swap(other); }
    buffer& operator=(buffer&& other) noexcept {
        reset();
        swap(other);
        return *this;
    }
    ~buffer() { reset(); }

    [[nodiscard]] bool empty() const noexcept { return begin_ == end_; }
    [[nodiscard]] std::size_t size() const noexcept { return end_ - begin_; }
    [[nodiscard]] std::string_view view() const noexcept { return {data_ + begin_, size()}; }

    // Throws std::bad_alloc only.
    void append(buffer_pool& pool, std::string_view bytes);
    void consume(std::size_t n) noexcept;
    void reset() noexcept;

private:
    void swap(buffer& other) noexcept;

    buffer_pool* pool_ = nullptr;
    char* data_ = nullptr;
    std::uint32_t capacity_ = 0;
    std::uint32_t begin_ = 0;
    std::uint32_t end_ = 0;
};

}  // namespace pgweir::net
