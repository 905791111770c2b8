// Writes metrics in Prometheus' text format.
#pragma once

#include "pgweir/base/histogram.hpp"

#include <cstdint>
#include <initializer_list>
#include <span>
#include <string>
#include <string_view>

namespace pgweir::observe {

struct label {
    std::string_view name;
    std::string_view value;  // any bytes
};

// A number as the format has it.
[[nodiscard]] std::string number(std::uint64_t value);
// Exact, also where a floating point number would round.
[[nodiscard]] std::string seconds_of_us(std::uint64_t us);
[[nodiscard]] std::string seconds_of_ms(std::uint64_t ms);

// One metric. Its samples follow each other, as the format demands; without a sample nothing is
// written. The arguments must outlive it.
class family {
public:
    enum class kind : std::uint8_t { counter, gauge, histogram };

    family(std::string& out, std::string_view name, kind what, std::string_view help) noexcept
        : out_{out}, name_{name}, help_{help}, kind_{what} {}

    void add(std::span<const label> labels, std::string_view value);
    void add(std::initializer_list<label> labels, std::string_view value) {
        add(std::span{labels.begin(), labels.size()}, value);
    }
    void add(std::initializer_list<label> labels, std::uint64_t value) {
        add(labels, number(value));
    }
    // REQUIRES: it is a histogram.
    void add(label l, const base::duration_counts& counts);

private:
    void begin();
    void add_sample(std::string_view suffix, std::span<const label> labels, std::string_view value);

    std::string& out_;
    std::string_view name_;
    std::string_view help_;
    kind kind_;
    bool begun_ = false;
};

}  // namespace pgweir::observe
