// Named loggers, one a module, over spdlog; a line costs nothing unless its level is on.
#pragma once

#include <spdlog/spdlog.h>

#include <memory>
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

}  // namespace pgweir::base

// log_at(info, "accepted {}", n): arguments are evaluated only when the level is on.
#define PGWEIR_LOG(level_name, ...)                                      \
    do {                                                                 \
        auto& pgweir_logger = ::pgweir::base::logger();                  \
        if (pgweir_logger.should_log(::spdlog::level::level_name)) {     \
            pgweir_logger.log(::spdlog::level::level_name, __VA_ARGS__); \
        }                                                                \
    } while (false)
