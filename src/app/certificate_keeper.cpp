// Watching certificates' files, and their expiry.
#include "pgweir/app/certificate_keeper.hpp"

#include "pgweir/base/log.hpp"

#include <utility>
#include <variant>

namespace pgweir::app {
namespace {

constexpr auto look_interval = std::chrono::seconds{1};
constexpr auto warn_interval = std::chrono::hours{24};
constexpr auto expiry_notice = std::chrono::hours{24 * 30};

}  // namespace

void certificate_keeper::use(std::shared_ptr<const config::snapshot> snapshot,
                             contexts_ptr contexts) {
    snapshot_ = std::move(snapshot);
    store_.put(std::move(contexts));
    problems_.clear();
    warn_of_expiry();
    if (!watches_) {
        watches_ = true;
        watch();
    }
}

void certificate_keeper::watch() {
    timer_.expires_after(look_interval);
    timer_.async_wait([this](boost::system::error_code ended) {
        if (!ended) {
            look();
            watch();
        }
    });
}

void certificate_keeper::look() {
    if (std::chrono::steady_clock::now() >= warn_at_) {
        warn_of_expiry();
    }
    if (!store_.all()->are_outdated()) {
        return;
    }
    auto loaded = pool::tls_contexts::load(*snapshot_);
    if (auto* problems = std::get_if<std::vector<std::string>>(&loaded)) {
        if (*problems != problems_) {
            for (const auto& p : *problems) {
                PGWEIR_LOG(err, "a changed certificate is not used: {}", p);
            }
            problems_ = std::move(*problems);
        }
        return;
    }
    PGWEIR_LOG(info, "certificates have changed: new connections use the new ones");
    use(snapshot_, std::get<contexts_ptr>(std::move(loaded)));
}

void certificate_keeper::warn_of_expiry() {
    warn_at_ = std::chrono::steady_clock::now() + warn_interval;
    const auto now = std::chrono::system_clock::now();
    for (const auto& c : store_.all()->certificates) {
        const auto left = std::chrono::duration_cast<std::chrono::hours>(c.not_after - now);
        if (left < std::chrono::hours::zero()) {
            PGWEIR_LOG(warn, "certificate {} of [{}] has expired", c.file, c.section);
        } else if (left < expiry_notice) {
            PGWEIR_LOG(warn, "certificate {} of [{}] expires in {} hours", c.file, c.section,
                       left.count());
        }
    }
}

}  // namespace pgweir::app
