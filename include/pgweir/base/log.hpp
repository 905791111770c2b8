// Named loggers, one a module, over spdlog; a line costs nothing unless its level is on.
#pragma once

#include <spdlog/logger.h>

#include <string_view>

namespace pgweir::base {

// Where log lines go. Any thread may log; writing happens on spdlog's own thread, so that a slow
// disk never stalls a worker; when its queue is full the oldest lines are dropped and counted.
struct log_options {
    spdlog::level::level_enum level = spdlog::level::info;
    bool json = false;
    std::string_view file;  // empty: standard error
};

// Starts logging. Call once, before any thread logs; throws std::runtime_error when the file cannot
// be opened. Before that lines go to standard error, synchronously.
void start_logging(const log_options& options);
void set_log_level(spdlog::level::level_enum level);
// Reopens the log file (after rotation) on SIGHUP. Keeps the old one when the new one fails.
void reopen_log();
// Writes what is queued. Call before the process exits.
void stop_logging();

// The logger all modules share.
[[nodiscard]] spdlog::logger& logger() noexcept;

// Writes one line, whatever its level. No template, so that formatting is compiled once and not in
// every file that logs.
void write_formatted(spdlog::level::level_enum level,
                     fmt::string_view format,
                     fmt::format_args args);

// The same; the compiler checks the format against the arguments.
template <typename... Args>
void write_line(spdlog::level::level_enum level,
                fmt::format_string<Args...> format,
                Args&&... args) {
    write_formatted(level, format, fmt::make_format_args(args...));
}

}  // namespace pgweir::base

// log_at(info, "accepted {}", n): arguments are evaluated only when the level is on.
#define PGWEIR_LOG(level_name, ...)                                               \
    do {                                                                          \
        if (::pgweir::base::logger().should_log(::spdlog::level::level_name)) {   \
            ::pgweir::base::write_line(::spdlog::level::level_name, __VA_ARGS__); \
        }                                                                         \
    } while (false)
