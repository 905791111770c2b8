// Collects what the pages say.
#include "pgweir/app/http_service.hpp"

#include <boost/asio/post.hpp>

#include <algorithm>
#include <array>
#include <charconv>
#include <chrono>
#include <cstdlib>
#include <fcntl.h>
#include <string_view>
#include <sys/resource.h>
#include <unistd.h>
#include <utility>

namespace pgweir::app {
namespace {

// /proc/self/statm: sizes in pages, the second one resident. proc(5).
std::uint64_t resident_bytes() {
    std::array<char, 128> text{};
    const int fd = ::open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return 0;
    }
    const auto got = ::read(fd, text.data(), text.size());
    ::close(fd);
    const std::string_view line{text.data(), static_cast<std::size_t>(std::max<ssize_t>(got, 0))};
    const auto space = line.find(' ');
    std::uint64_t pages = 0;
    if (space != std::string_view::npos) {
        std::from_chars(line.data() + space + 1, line.data() + line.size(), pages);
    }
    return pages * static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
}

std::uint64_t microseconds_of(const timeval& t) {
    return static_cast<std::uint64_t>(t.tv_sec) * 1'000'000 + static_cast<std::uint64_t>(t.tv_usec);
}

bool can_read(const cluster::published_view& published, base::time_point now) {
    for (std::size_t i = 0; i < published.nodes.size(); ++i) {
        const auto& node = published.view.nodes[i];
        if (node.reads != cluster::read_quality::none && !node.cut &&
            published.nodes[i].link->reads.load().is_running(now)) {
            return true;
        }
    }
    return false;
}

}  // namespace

observe::cluster_facts describe_cluster(const config::cluster_settings& settings,
                                        const cluster::board* board,
                                        bool wants_reads,
                                        base::time_point now) {
    observe::cluster_facts facts;
    facts.name = settings.name;
    const auto published = board == nullptr ? nullptr : board->view();
    if (published == nullptr) {
        return facts;
    }
    const auto& view = published->view;
    facts.is_known = view.why != cluster::cause::starting;
    // The lease tells also when the watch thread does not decide any more.
    // A doubt that a broken connection casts on the primary is over before anybody acts on it.
    facts.serves_writes = view.writes == cluster::write_mode::serve &&
                          (board->primary.load().is_running(now) || board->primary.is_doubted());
    facts.may_serve_soon = view.writes == cluster::write_mode::hold &&
                           settings.hold_max_clients != 0 &&
                           now - published->unserved_since < settings.hold_timeout;
    facts.serves_reads = wants_reads && can_read(*published, now);
    facts.summary = published->summary;
    return facts;
}

http_service::http_service(boost::asio::io_context& io,
                           session::fleet& fleet,
                           const std::vector<std::unique_ptr<session::worker>>& workers,
                           const watch::watcher& watcher)
    : io_{io},
      fleet_{fleet},
      workers_{workers},
      watcher_{watcher},
      started_{std::chrono::duration_cast<std::chrono::seconds>(
                   std::chrono::system_clock::now().time_since_epoch())
                   .count()},
      endpoint_{io, [this](const observe::http_question& question, http_endpoint::reply done) {
                    answer(question, std::move(done));
                }} {}

void http_service::open(std::shared_ptr<const config::snapshot> snapshot) {
    configure(std::move(snapshot));
    endpoint_.open(snapshot_->http);
}

void http_service::configure(std::shared_ptr<const config::snapshot> snapshot) {
    snapshot_ = std::move(snapshot);
}

void http_service::answer(const observe::http_question& question, http_endpoint::reply done) {
    switch (question.page) {
        case observe::http_page::healthz: return done({200, "ok\n"});
        case observe::http_page::readyz: {
            auto ready = observe::judge_readiness(facts(), question.cluster);
            return done({ready.status, std::move(ready.text)});
        }
        case observe::http_page::metrics: break;
    }
    const auto joined = waiting_.join(std::move(done), base::steady::now());
    for (const auto& too_late : joined.given_up) {
        too_late({503, "the workers do not answer\n"});
    }
    if (joined.must_ask) {
        collect();
    }
}

scrape_queue::joined scrape_queue::join(http_endpoint::reply done, base::time_point now) {
    joined out;
    if (!waiting_.empty() && now - asked_ > patience) {
        out.given_up = take();
    }
    if (waiting_.size() >= most) {
        out.given_up.push_back(std::move(done));
        return out;
    }
    out.must_ask = waiting_.empty();
    if (out.must_ask) {
        asked_ = now;
    }
    waiting_.push_back(std::move(done));
    return out;
}

void http_service::collect() {
    auto& first = *workers_.front();
    first.run([this, &first](pool::slices&) {
        first.gather(observe::exported_parts, [this](metrics::report r) {
            boost::asio::post(io_, [this, r = std::move(r)] { on_report(r); });
        });
    });
}

void http_service::on_report(const metrics::report& report) {
    const auto page = observe::to_prometheus(report, figures());
    for (const auto& done : waiting_.take()) {
        done({200, page, observe::prometheus_content_type});
    }
}

observe::process_figures http_service::figures() const {
    observe::process_figures p;
    p.version = PGWEIR_VERSION;
    p.workers = static_cast<unsigned>(workers_.size());
    p.clients = fleet_.clients.load();
    p.login_clients = fleet_.logins.count();
    p.max_clients = fleet_.max_clients.load();
    p.max_login_clients = fleet_.logins.most();
    using refusal = session::admission::refusal;
    p.refused_full = fleet_.logins.refused(refusal::full);
    p.refused_address_full = fleet_.logins.refused(refusal::origin_full);
    p.refused_too_fast = fleet_.logins.refused(refusal::too_fast);
    p.resident_bytes = resident_bytes();
    p.started = started_;
    rusage used{};
    if (::getrusage(RUSAGE_SELF, &used) == 0) {
        p.cpu_us = microseconds_of(used.ru_utime) + microseconds_of(used.ru_stime);
    }
    rlimit descriptors{};
    if (::getrlimit(RLIMIT_NOFILE, &descriptors) == 0) {
        p.max_descriptors = descriptors.rlim_cur;
    }
    return p;
}

observe::readiness_facts http_service::facts() const {
    observe::readiness_facts facts;
    facts.is_draining = draining_;
    const auto now = base::steady::now();
    const auto& databases = snapshot_->databases;
    facts.has_plain_database =
        std::ranges::any_of(databases, [](const auto& d) { return d.second.cluster.empty(); });
    for (const auto& known : snapshot_->clusters) {
        const auto& name = known.first;
        const bool wants_reads = std::ranges::any_of(databases, [&](const auto& d) {
            return d.second.cluster == name && d.second.target != config::access_target::primary;
        });
        const auto board = watcher_.board_of(name);
        facts.clusters.push_back(describe_cluster(known.second, board.get(), wants_reads, now));
    }
    return facts;
}

}  // namespace pgweir::app
