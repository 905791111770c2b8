// Logging through spdlog: asynchronous, text or JSON.
#include "pgweir/base/log.hpp"

#include <spdlog/async.h>
#include <spdlog/details/file_helper.h>
#include <spdlog/pattern_formatter.h>
#include <spdlog/sinks/base_sink.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

#include <memory>
#include <mutex>
#include <stdexcept>
#include <string>
#include <utility>

namespace pgweir::base {
namespace {

constexpr std::size_t queue_lines = 8192;

// `%v` is not escaped by spdlog, so the JSON form comes from a flag formatter of ours.
class json_text_flag final : public spdlog::custom_flag_formatter {
public:
    void format(const spdlog::details::log_msg& msg,
                const std::tm&,
                spdlog::memory_buf_t& dest) override {
        static constexpr char hex[] = "0123456789abcdef";
        for (const char c : msg.payload) {
            const auto u = static_cast<unsigned char>(c);
            if (c == '"' || c == '\\') {
                dest.push_back('\\');
                dest.push_back(c);
            } else if (u < 0x20 || u >= 0x7f) {
                // Bytes of clients need not be UTF-8; a line must stay JSON whatever they are.
                for (const char e : {'\\', 'u', '0', '0', hex[u >> 4], hex[u & 15]}) {
                    dest.push_back(e);
                }
            } else {
                dest.push_back(c);
            }
        }
    }
    [[nodiscard]] std::unique_ptr<custom_flag_formatter> clone() const override {
        return std::make_unique<json_text_flag>();
    }
};

// Text lines quote what clients send, user names for one: a line break in it must not begin what
// looks like another line.
class one_line_flag final : public spdlog::custom_flag_formatter {
public:
    void format(const spdlog::details::log_msg& msg,
                const std::tm&,
                spdlog::memory_buf_t& dest) override {
        static constexpr char hex[] = "0123456789abcdef";
        for (const char c : msg.payload) {
            const auto u = static_cast<unsigned char>(c);
            if (u < 0x20 || u == 0x7f) {
                for (const char e : {'\\', 'x', hex[u >> 4], hex[u & 15]}) {
                    dest.push_back(e);
                }
            } else {
                dest.push_back(c);
            }
        }
    }
    [[nodiscard]] std::unique_ptr<custom_flag_formatter> clone() const override {
        return std::make_unique<one_line_flag>();
    }
};

// A file that can be opened anew under the same name, which spdlog 1.10 does not offer.
class reopening_file_sink final : public spdlog::sinks::base_sink<std::mutex> {
public:
    explicit reopening_file_sink(const std::string& name) : name_{name} { file_->open(name_); }
    // Throws spdlog_ex and keeps the old file when the new one cannot be opened. spdlog's own
    // reopen() closes first.
    void reopen() {
        auto next = std::make_unique<spdlog::details::file_helper>();
        next->open(name_);
        const std::lock_guard lock{mutex_};
        file_ = std::move(next);
    }

protected:
    void sink_it_(const spdlog::details::log_msg& msg) override {
        spdlog::memory_buf_t line;
        formatter_->format(msg, line);
        file_->write(line);
    }
    void flush_() override { file_->flush(); }

private:
    const std::string name_;
    std::unique_ptr<spdlog::details::file_helper> file_ =
        std::make_unique<spdlog::details::file_helper>();
};

std::shared_ptr<spdlog::logger> make_early_logger() {
    return std::make_shared<spdlog::logger>("pgweir",
                                            std::make_shared<spdlog::sinks::stderr_sink_mt>());
}

struct state {
    std::shared_ptr<spdlog::logger> current = make_early_logger();
    std::shared_ptr<reopening_file_sink> file;
};

state& the_state() {
    static state s;
    return s;
}

void apply_pattern(spdlog::logger& log, bool json) {
    auto formatter = std::make_unique<spdlog::pattern_formatter>();
    if (json) {
        formatter->add_flag<json_text_flag>('*').set_pattern(
            R"({"time":"%Y-%m-%dT%H:%M:%S.%e%z","level":"%l","thread":%t,"message":"%*"})");
    } else {
        formatter->add_flag<one_line_flag>('*').set_pattern("%Y-%m-%d %H:%M:%S.%e %z [%t] %l: %*");
    }
    log.set_formatter(std::move(formatter));
}

}  // namespace

spdlog::logger& logger() noexcept { return *the_state().current; }

void write_formatted(spdlog::level::level_enum level,
                     fmt::string_view format,
                     fmt::format_args args) {
    spdlog::memory_buf_t line;
    fmt::vformat_to(fmt::appender{line}, format, args);
    logger().log(level, spdlog::string_view_t{line.data(), line.size()});
}

void start_logging(const log_options& options) {
    auto& s = the_state();
    spdlog::sink_ptr sink;
    if (options.file.empty()) {
        sink = std::make_shared<spdlog::sinks::stderr_sink_mt>();
    } else {
        try {
            s.file = std::make_shared<reopening_file_sink>(std::string{options.file});
        } catch (const spdlog::spdlog_ex& e) {
            throw std::runtime_error{std::string{"cannot open log file: "} + e.what()};
        }
        sink = s.file;
    }
    spdlog::init_thread_pool(queue_lines, 1);
    auto log =
        std::make_shared<spdlog::async_logger>("pgweir", std::move(sink), spdlog::thread_pool(),
                                               spdlog::async_overflow_policy::overrun_oldest);
    log->set_level(options.level);
    log->flush_on(spdlog::level::info);
    apply_pattern(*log, options.json);
    s.current = std::move(log);
}

void set_log_level(spdlog::level::level_enum level) { logger().set_level(level); }

void reopen_log() {
    if (const auto& file = the_state().file) {
        try {
            file->reopen();
        } catch (const spdlog::spdlog_ex& e) {
            PGWEIR_LOG(err, "cannot reopen the log file: {}", e.what());
        }
    }
}

void stop_logging() {
    auto& s = the_state();
    s.current->flush();
    spdlog::shutdown();  // ends the thread that writes, before what it writes to
    s.current = make_early_logger();
    s.file.reset();
}

}  // namespace pgweir::base
