// What an HTTP request to pgweir asks for.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>

namespace pgweir::observe {

enum class http_page : std::uint8_t { metrics, healthz, readyz };

struct http_question {
    http_page page = http_page::healthz;
    // /readyz?cluster=NAME: can writes of this cluster be served?
    std::optional<std::string> cluster;
};

struct http_refusal {
    unsigned status = 404;
    std::string text;  // for people, one line
};

// Of any bytes. `target` is as it stands in the request line.
[[nodiscard]] std::variant<http_question, http_refusal> understand(std::string_view method,
                                                                   std::string_view target);

}  // namespace pgweir::observe
