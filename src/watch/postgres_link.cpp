// Driving libpq.
#include "pgweir/watch/postgres_link.hpp"

#include <boost/asio/post.hpp>

#include <algorithm>
#include <fcntl.h>
#include <libpq-fe.h>
#include <unistd.h>

namespace pgweir::watch {
namespace {

constexpr int max_columns = 32;
constexpr std::size_t max_results = 64;

using result_ptr = std::unique_ptr<PGresult, void (*)(PGresult*)>;

std::string field(const PGresult& result, int code) {
    const char* text = ::PQresultErrorField(&result, code);
    return text != nullptr ? text : "";
}

batch_result::error error_of(const PGresult& result) {
    return {field(result, PG_DIAG_SQLSTATE), field(result, PG_DIAG_MESSAGE_PRIMARY)};
}

void add_rows(const PGresult& result, result_rows& rows) {
    const int columns = std::min(::PQnfields(&result), max_columns);
    for (int i = 0; i < ::PQntuples(&result) && rows.size() < max_result_rows; ++i) {
        auto& row = rows.emplace_back();
        for (int j = 0; j < columns; ++j) {
            if (::PQgetisnull(&result, i, j) != 0) {
                row.emplace_back();
            } else {
                // One byte more than is taken, so that it is seen to be too long.
                const auto size = std::min<std::size_t>(
                    static_cast<std::size_t>(::PQgetlength(&result, i, j)), max_cell_size + 1);
                row.emplace_back(std::string{::PQgetvalue(&result, i, j), size});
            }
        }
    }
}

}  // namespace

void postgres_link::connect(const parameters& p) {
    std::vector<const char*> keywords;
    std::vector<const char*> values;
    for (const auto& [keyword, value] : p) {
        keywords.push_back(keyword.c_str());
        values.push_back(value.c_str());
    }
    keywords.push_back(nullptr);
    values.push_back(nullptr);
    era_ = std::make_shared<char>();
    // Nothing of it blocks: it is given an address, and looks no file up.
    connection_ = ::PQconnectStartParams(keywords.data(), values.data(), 0);
    if (connection_ != nullptr) {
        ::PQsetErrorVerbosity(connection_, PQERRORS_VERBOSE);  // with the SQLSTATE
        ::PQsetNoticeReceiver(connection_, &postgres_link::on_notice, this);
    }
    boost::asio::post(descriptor_.get_executor(), [this, era = std::weak_ptr{era_}] {
        if (era.expired()) {
            return;
        }
        if (connection_ == nullptr || ::PQstatus(connection_) == CONNECTION_BAD ||
            !watch_socket()) {
            lose();
        } else {
            // As if PQconnectPoll() had said so.
            wait(direction::wait_write, &postgres_link::continue_connecting);
        }
    });
}

void postgres_link::ask(const std::string& sql) {
    began_asking(::PQsendQuery(connection_, sql.c_str()) != 0);
}

void postgres_link::ask(const std::string& sql, const std::vector<std::string>& arguments) {
    std::vector<const char*> values;
    values.reserve(arguments.size());
    for (const auto& a : arguments) {
        values.push_back(a.c_str());
    }
    began_asking(::PQsendQueryParams(connection_, sql.c_str(), static_cast<int>(values.size()),
                                     nullptr, values.data(), nullptr, nullptr, 0) != 0);
}

void postgres_link::began_asking(bool is_sent) {
    batch_.emplace();
    rows_.clear();
    if (!is_sent) {
        boost::asio::post(descriptor_.get_executor(), [this, era = std::weak_ptr{era_}] {
            if (!era.expired()) {
                lose();
            }
        });
        return;
    }
    ::PQsetSingleRowMode(connection_);  // so that a result without end is not kept
    boost::asio::post(descriptor_.get_executor(), [this, era = std::weak_ptr{era_}] {
        if (!era.expired()) {
            flush();
        }
    });
}

void postgres_link::close() noexcept {
    era_.reset();
    is_connected_ = false;
    batch_.reset();
    last_words_.reset();
    rows_.clear();
    boost::system::error_code ignored;
    descriptor_.close(ignored);
    if (connection_ != nullptr) {
        ::PQfinish(std::exchange(connection_, nullptr));
    }
}

// libpq may change its socket while it connects, even to one of the same number.
bool postgres_link::watch_socket() {
    boost::system::error_code error;
    descriptor_.close(error);
    const int fd = ::fcntl(::PQsocket(connection_), F_DUPFD_CLOEXEC, 0);
    if (fd < 0) {
        return false;
    }
    descriptor_.assign(fd, error);
    if (error) {
        ::close(fd);
    }
    return !error;
}

void postgres_link::wait(direction d, void (postgres_link::*then)()) {
    descriptor_.async_wait(d, [this, then, era = std::weak_ptr{era_}](auto error) {
        if (!error && !era.expired()) {
            (this->*then)();
        }
    });
}

void postgres_link::continue_connecting() {
    const auto next = ::PQconnectPoll(connection_);
    if (next == PGRES_POLLING_FAILED || !watch_socket()) {
        lose();
    } else if (next == PGRES_POLLING_OK) {
        if (::PQsetnonblocking(connection_, 1) != 0) {
            lose();
            return;
        }
        is_connected_ = true;
        wait(direction::wait_read, &postgres_link::on_readable);
        on_.connected();
    } else {
        wait(next == PGRES_POLLING_READING ? direction::wait_read : direction::wait_write,
             &postgres_link::continue_connecting);
    }
}

void postgres_link::flush() {
    const int left = ::PQflush(connection_);
    if (left < 0) {
        lose();
    } else if (left > 0) {
        wait(direction::wait_write, &postgres_link::flush);
    }
}

void postgres_link::on_readable() {
    if (::PQconsumeInput(connection_) == 0) {
        lose();
        return;
    }
    bool is_done = false;
    // Also without a batch: PQisBusy() is what reads what the server says unasked.
    while (::PQisBusy(connection_) == 0 && batch_ && !is_done) {
        const result_ptr result{::PQgetResult(connection_), ::PQclear};
        is_done = !result;
        if (result && !take(*result)) {
            lose({cluster::contact::silent, {}, "the server does not answer as PostgreSQL does"});
            return;
        }
    }
    if (::PQstatus(connection_) == CONNECTION_BAD) {
        lose();
        return;
    }
    wait(direction::wait_read, &postgres_link::on_readable);
    if (is_done) {
        on_.answered(*std::exchange(batch_, std::nullopt));
    }
}

// False: it is no result of a query.
bool postgres_link::take(const pg_result& result) {
    switch (::PQresultStatus(&result)) {
        case PGRES_SINGLE_TUPLE: add_rows(result, rows_); return true;
        case PGRES_TUPLES_OK:
        case PGRES_COMMAND_OK:
        case PGRES_EMPTY_QUERY:
            add_rows(result, rows_);
            batch_->results.push_back(std::exchange(rows_, {}));
            return batch_->results.size() <= max_results;
        case PGRES_FATAL_ERROR:
            if (!batch_->failed) {
                batch_->failed = error_of(result);
            }
            return true;
        default: return false;  // COPY, for one, has no end by itself
    }
}

void postgres_link::lose() {
    if (connection_ == nullptr) {
        lose({cluster::contact::silent, {}, "out of memory"});
        return;
    }
    auto why =
        read_refusal(::PQerrorMessage(connection_), ::PQconnectionNeedsPassword(connection_) != 0);
    // Whatever ended an open connection, it has ended; unless the kernel merely gave up on it.
    if (is_connected_) {
        const auto said = batch_ && batch_->failed ? batch_->failed : last_words_;
        if (said) {
            why = {cluster::contact::reset, said->sqlstate, said->text};
        } else if (why.result != cluster::contact::silent) {
            why.result = cluster::contact::reset;
        }
    }
    lose(std::move(why));
}

void postgres_link::lose(refusal why) {
    close();
    on_.lost(std::move(why));
}

void postgres_link::on_notice(void* self, const pg_result* notice) {
    static_cast<postgres_link*>(self)->last_words_ = error_of(*notice);
}

}  // namespace pgweir::watch
