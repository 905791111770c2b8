// Names of any bytes on the page of metrics, and requests of any bytes for it: whatever they are,
// the page is one that its format allows, and each name is where it was put.
#include "pgweir/base/utf8.hpp"
#include "pgweir/observe/http_question.hpp"
#include "pgweir/observe/prometheus.hpp"
#include "pgweir/observe/readiness.hpp"

#include <algorithm>
#include <cctype>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>
#include <variant>

namespace {

using namespace pgweir;

void require(bool holds) {
    if (!holds) {
        std::abort();
    }
}

// Takes pieces from the front of a text. What is not there ends the process.
class reader {
public:
    explicit reader(std::string_view text) : text_{text} {}

    [[nodiscard]] bool has(char c) const { return !text_.empty() && text_.front() == c; }
    void take(char c) {
        require(has(c));
        text_.remove_prefix(1);
    }
    std::string_view take_word() {
        std::size_t size = 0;
        while (size < text_.size() &&
               (std::isalnum(static_cast<unsigned char>(text_[size])) != 0 || text_[size] == '_')) {
            ++size;
        }
        require(size > 0);
        const auto word = text_.substr(0, size);
        text_.remove_prefix(size);
        return word;
    }
    // In double quotes; no control character, and only escapes that the format knows.
    void take_value() {
        take('"');
        while (!has('"')) {
            if (has('\\')) {
                take('\\');
                require(has('\\') || has('"'));
                text_.remove_prefix(1);
                continue;
            }
            require(!text_.empty());
            const bool is_printable = text_.front() >= 0x20 && text_.front() < 0x7f;
            const auto size = is_printable ? 1 : base::utf8_sequence_length(text_);
            require(size > 0);
            text_.remove_prefix(size);
        }
        take('"');
    }
    void take_number() {
        require(!text_.empty() && text_.find_first_not_of("0123456789.") == std::string_view::npos);
    }

private:
    std::string_view text_;
};

void read_sample(std::string_view line) {
    reader r{line};
    static_cast<void>(r.take_word());
    if (r.has('{')) {
        r.take('{');
        for (;;) {
            static_cast<void>(r.take_word());
            r.take('=');
            r.take_value();
            if (!r.has(',')) {
                break;
            }
            r.take(',');
        }
        r.take('}');
    }
    r.take(' ');
    r.take_number();
}

// How many samples there are.
std::size_t read_page(std::string_view page) {
    std::size_t samples = 0;
    require(page.ends_with('\n'));
    while (!page.empty()) {
        const auto line = page.substr(0, page.find('\n'));
        page.remove_prefix(line.size() + 1);
        if (!line.starts_with("# ")) {
            read_sample(line);
            ++samples;
        }
    }
    return samples;
}

metrics::report report_of(const std::string& name, const std::string& other) {
    metrics::report r;
    r.pools.resize(2);
    r.pools[0].database = name;
    r.pools[0].user = other;
    r.pools[1].database = other;
    r.pools[1].user = name;
    r.pools[1].nodes = {{name, {}}};
    r.traffics.resize(1);
    r.traffics[0].database = name;
    r.memory.resize(1);
    r.memory[0].name = other;
    r.clusters.resize(1);
    r.clusters[0].name = name;
    r.clusters[0].writes = "serve";
    r.clusters[0].failovers_by_cause = {{other, 1}};
    r.nodes.resize(1);
    r.nodes[0].cluster = other;
    r.nodes[0].name = name;
    r.nodes[0].state = "primary";
    r.nodes[0].reads = "good";
    r.nodes[0].probe_results = {{name, 1}};
    return r;
}

}  // namespace

// What stands before the first line break and what behind it: two names, or a method and a target.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    static const auto usual = read_page(observe::to_prometheus(report_of("a", "b"), {}));
    const std::string_view input{reinterpret_cast<const char*>(data), size};
    const std::string first{input.substr(0, input.find('\n'))};
    const std::string second{input.substr(std::min(input.size(), first.size() + 1))};

    require(read_page(observe::to_prometheus(report_of(first, second), {})) == usual);

    const auto understood = observe::understand(first, second);
    if (const auto* question = std::get_if<observe::http_question>(&understood)) {
        observe::readiness_facts facts;
        facts.clusters.resize(1);
        facts.clusters[0].name = first;
        facts.clusters[0].is_known = facts.clusters[0].serves_writes = true;
        const bool is_there = !question->cluster || *question->cluster == first;
        const auto judged = observe::judge_readiness(facts, question->cluster);
        require(judged.status == (is_there ? 200U : 404U));
    } else {
        const auto status = std::get<observe::http_refusal>(understood).status;
        require(status == 400 || status == 404 || status == 405);
    }
    return 0;
}
