// Prometheus' text format: "Exposition formats" in its documentation.
#include "observe/exposition.hpp"

#include "pgweir/base/utf8.hpp"

#include <algorithm>
#include <array>

namespace pgweir::observe {
namespace {

// Whoever reads the page expects UTF-8, and refuses it whole for one wrong byte in a name.
void append_label_value(std::string& out, std::string_view text) {
    static constexpr std::string_view digits = "0123456789abcdef";
    while (!text.empty()) {
        const auto c = static_cast<unsigned char>(text.front());
        std::size_t length = 1;
        if (c == '\\' || c == '"') {
            out += '\\';
            out += static_cast<char>(c);
        } else if (c >= 0x20 && c < 0x7f) {
            out += static_cast<char>(c);
        } else if (const auto sequence = base::utf8_sequence_length(text); sequence != 0) {
            out.append(text.substr(0, sequence));
            length = sequence;
        } else {
            out += "\\\\x";  // the format's own escape for one backslash
            out += digits[c >> 4];
            out += digits[c & 0xf];
        }
        text.remove_prefix(length);
    }
}

std::string decimal(std::uint64_t value, std::uint64_t unit) {
    std::string out = std::to_string(value / unit);
    if (auto rest = value % unit; rest != 0) {
        std::string fraction = std::to_string(unit + rest);  // the 1 in front keeps zeros
        fraction.erase(fraction.find_last_not_of('0') + 1);
        fraction.front() = '.';
        out += fraction;
    }
    return out;
}

}  // namespace

std::string number(std::uint64_t value) { return std::to_string(value); }
std::string seconds_of_us(std::uint64_t us) { return decimal(us, 1'000'000); }
std::string seconds_of_ms(std::uint64_t ms) { return decimal(ms, 1'000); }

void family::begin() {
    if (begun_) {
        return;
    }
    begun_ = true;
    out_.append("# HELP ").append(name_).append(" ").append(help_).append("\n");
    out_.append("# TYPE ").append(name_);
    switch (kind_) {
        case kind::counter: out_ += " counter\n"; break;
        case kind::gauge: out_ += " gauge\n"; break;
        case kind::histogram: out_ += " histogram\n"; break;
    }
}

void family::add(std::span<const label> labels, std::string_view value) {
    begin();
    add_sample({}, labels, value);
}

// Each bucket holds what those before it do.
void family::add(label l, const base::duration_counts& counts) {
    begin();
    std::uint64_t so_far = 0;
    for (std::size_t i = 0; i < counts.classes.size(); ++i) {
        so_far += counts.classes[i];
        const auto bound = i < base::histogram_bounds_ms.size()
                               ? seconds_of_ms(base::histogram_bounds_ms[i])
                               : std::string{"+Inf"};
        add_sample("_bucket", std::array{l, label{"le", bound}}, number(so_far));
    }
    add_sample("_sum", std::array{l}, seconds_of_us(counts.sum_us));
    add_sample("_count", std::array{l}, number(so_far));
}

void family::add_sample(std::string_view suffix,
                        std::span<const label> labels,
                        std::string_view value) {
    out_.append(name_).append(suffix);
    char before = '{';
    for (const auto& l : labels) {
        out_ += before;
        out_.append(l.name).append("=\"");
        append_label_value(out_, l.value);
        out_ += '"';
        before = ',';
    }
    out_.append(labels.empty() ? " " : "} ").append(value).append("\n");
}

}  // namespace pgweir::observe
