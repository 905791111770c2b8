// Strings that must not stay in memory or reach a log.
#pragma once

#include <string>
#include <string_view>
#include <utility>

namespace pgweir::base {

// Overwrites `size` bytes so that the optimiser cannot drop the write.
void wipe(void* data, std::size_t size) noexcept;

// Owns a secret; wipes it when it dies or is replaced. It has no operator<< on purpose: the only
// way to the text is reveal(), so that a log line with a secret in it shows in review.
class secret {
public:
    secret() = default;
    explicit secret(std::string text) noexcept : text_{std::move(text)} {}
    secret(const secret&) = default;
    secret(secret&& other) noexcept : text_{other.text_} { other.clear(); }
    secret& operator=(const secret& other) {
        if (this != &other) {
            clear();
            text_ = other.text_;
        }
        return *this;
    }
    secret& operator=(secret&& other) noexcept {
        if (this != &other) {
            clear();
            text_ = other.text_;
            other.clear();
        }
        return *this;
    }
    ~secret() { clear(); }

    // The view is valid until this object changes or dies.
    [[nodiscard]] std::string_view reveal() const noexcept { return text_; }
    [[nodiscard]] bool empty() const noexcept { return text_.empty(); }
    friend bool operator==(const secret&, const secret&) = default;

private:
    void clear() noexcept {
        wipe(text_.data(), text_.size());
        text_.clear();
    }

    std::string text_;
};

}  // namespace pgweir::base
