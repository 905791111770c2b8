// One client's conversation with the console.
#pragma once

#include "admin/command.hpp"
#include "admin/prepared_store.hpp"
#include "pgweir/session/local_service.hpp"

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace pgweir::admin {

// Speaks PostgreSQL's simple and extended protocol (docs 55.2.2, 55.2.3): messages in, replies out,
// one command at a time. A command that needs others, such as the workers, stops the conversation
// until on_report(), on_reload() or on_command(); what the client sent meanwhile waits in `input_`.
// Owned by the client; worker thread only; ends by itself with Terminate or a protocol violation.
class console_session final : public session::local_session {
public:
    // Larger messages end the session: no command is that long.
    static constexpr std::size_t message_limit = 64 * 1024;

    explicit console_session(config::console_role role) noexcept : role_{role} {}

    void welcome(std::string& out) override;
    session::local_outcome on_bytes(std::string_view in, std::string& out) override;
    session::local_outcome on_report(const metrics::report& report,
                                     const config::snapshot& snapshot,
                                     std::string& out) override;
    session::local_outcome on_reload(const session::reload_outcome& done,
                                     std::string& out) override;
    session::local_outcome on_command(const session::command_outcome& done,
                                      std::string& out) override;

private:
    using outcome = session::local_outcome;
    // Empty: go on with the next message.
    using step = std::optional<outcome>;

    struct message {
        char type;
        std::string_view body;  // into input_
    };

    // A command under way: one of batch_, or a portal's.
    struct running {
        const command* what = nullptr;
        portal* into = nullptr;                                    // null: simple protocol
        std::int32_t max_rows = 0;                                 // 0: all
        std::shared_ptr<const prepared_statement> keep = nullptr;  // owns `what` if a portal's
    };

    // console_session.cpp
    outcome go_on(std::string& out);
    [[nodiscard]] std::optional<message> take_message(std::string& out);
    step dispatch(const message& m, std::string& out);
    outcome violate(std::string& out, const std::string& text);

    // console_simple.cpp
    void on_query(std::string_view body, std::string& out);
    step run_batch(std::string& out);

    // console_extended.cpp
    step on_extended(const message& m, std::string& out);
    std::optional<failure> describe(std::string_view body, std::string& out) const;
    std::optional<failure> close(std::string_view body);
    step execute(std::string_view body, std::string& out);
    void sync(std::string& out);
    static void send_rows(portal& p, std::int32_t max_rows, std::string& out);

    // console_run.cpp
    step run(running r, std::string& out);
    step run_action(const running& r, action act, std::string& out);
    template <class Fill>
    void deliver(const running& r, Fill fill, std::string& out);
    void complete(const running& r, std::string& out);
    void fail(const failure& why, std::string& out);
    outcome wait(running r, outcome::kind kind, unsigned parts);

    config::console_role role_;
    std::string input_;
    std::size_t taken_ = 0;     // bytes of input_ that are done with
    char transaction_ = 'I';    // as in ReadyForQuery
    bool is_skipping_ = false;  // after an error in the extended protocol, until Sync
    bool is_closed_ = false;
    prepared_store prepared_;

    // The simple query under way.
    bool owes_ready_ = false;
    std::vector<command> batch_;
    std::size_t next_in_batch_ = 0;

    std::optional<running> waiting_;
    outcome waiting_for_;
};

}  // namespace pgweir::admin
