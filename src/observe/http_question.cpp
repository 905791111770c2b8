// Paths, and the one parameter there is.
#include "pgweir/observe/http_question.hpp"

namespace pgweir::observe {
namespace {

int digit_of(char c) noexcept {
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    const char lower = static_cast<char>(c | 0x20);
    return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

// RFC 3986, section 2.1. Nothing when a '%' is not followed by two digits.
std::optional<std::string> decoded(std::string_view text) {
    std::string out;
    for (std::size_t i = 0; i < text.size(); ++i) {
        if (text[i] != '%') {
            out += text[i];
            continue;
        }
        const int high = i + 1 < text.size() ? digit_of(text[i + 1]) : -1;
        const int low = i + 2 < text.size() ? digit_of(text[i + 2]) : -1;
        if (high < 0 || low < 0) {
            return std::nullopt;
        }
        out += static_cast<char>(high * 16 + low);
        i += 2;
    }
    return out;
}

}  // namespace

std::variant<http_question, http_refusal> understand(std::string_view method,
                                                     std::string_view target) {
    const auto mark = target.find('?');
    const auto path = target.substr(0, mark);
    const auto query =
        mark == std::string_view::npos ? std::string_view{} : target.substr(mark + 1);

    http_question question;
    if (path == "/metrics") {
        question.page = http_page::metrics;
    } else if (path == "/healthz") {
        question.page = http_page::healthz;
    } else if (path == "/readyz") {
        question.page = http_page::readyz;
    } else {
        return http_refusal{404, "there are /metrics, /healthz and /readyz"};
    }
    if (method != "GET" && method != "HEAD") {
        return http_refusal{405, "only GET and HEAD are answered"};
    }
    constexpr std::string_view key = "cluster=";
    if (question.page == http_page::readyz && !query.empty()) {
        if (!query.starts_with(key) || query.find('&') != std::string_view::npos) {
            return http_refusal{400, "/readyz takes no parameter but cluster=NAME"};
        }
        question.cluster = decoded(query.substr(key.size()));
        if (!question.cluster) {
            return http_refusal{400, "a % in a parameter is followed by two digits"};
        }
    }
    return question;
}

}  // namespace pgweir::observe
