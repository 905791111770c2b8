// Knocking at a node's door.
#include "watch/knocker.hpp"

#include <utility>

namespace pgweir::watch {

knocker::knocker(boost::asio::io_context& io, handler on)
    : timer_{io},
      link_{io,
            {.connected = [this] { finish(true); },
             .answered = [](const batch_result&) {},
             .lost = [this](const refusal& why) { finish(cluster::proves_alive(why.result)); }}},
      on_{std::move(on)} {}

void knocker::knock(const postgres_link::parameters& where, base::duration timeout) {
    if (under_way_ != nullptr) {
        return;
    }
    under_way_ = std::make_shared<char>();
    asked_ = base::steady::now();
    timer_.expires_after(timeout);
    timer_.async_wait([this, knock = std::weak_ptr{under_way_}](auto error) {
        if (!error && !knock.expired()) {
            finish(false);
        }
    });
    link_.connect(where);
}

void knocker::stop() noexcept {
    under_way_.reset();
    link_.close();
    timer_.cancel();
}

void knocker::finish(bool is_there) {
    stop();
    on_(is_there, asked_);
}

}  // namespace pgweir::watch
