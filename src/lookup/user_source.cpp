// Asking PostgreSQL for users.
#include "lookup/user_source.hpp"

#include "pgweir/base/log.hpp"

#include <boost/asio/post.hpp>

#include <algorithm>
#include <utility>

namespace pgweir::lookup {
namespace {

using base::steady;

// How often deadlines are looked at while something is asked.
constexpr auto tick_period = std::chrono::milliseconds{20};
constexpr std::chrono::milliseconds first_retry{20};
constexpr std::chrono::milliseconds longest_retry{1'000};
constexpr auto avoid_for = std::chrono::seconds{2};
// The same trouble is told once in this time.
constexpr auto tell_again_after = std::chrono::seconds{10};

std::string label_of(const source_key& k) {
    return "auth_query at " +
           (k.cluster.empty() ? k.host + ":" + std::to_string(k.port) : "cluster " + k.cluster);
}

// `any`: how libpq calls the one beyond which there is none.
std::string libpq_name(config::tls_version v, const char* any) {
    switch (v) {
        case config::tls_version::any: break;
        case config::tls_version::tls_1_0: return "TLSv1";
        case config::tls_version::tls_1_1: return "TLSv1.1";
        case config::tls_version::tls_1_2: return "TLSv1.2";
        case config::tls_version::tls_1_3: return "TLSv1.3";
    }
    return any;
}

}  // namespace

// One connection: where it leads, and what it is being asked.
class user_source::link {
public:
    explicit link(user_source& of)
        : of_{of},
          connection_{of.io_,
                      {.connected = [this] { on_connected(); },
                       .answered = [this](watch::batch_result b) { on_answered(std::move(b)); },
                       .lost = [this](watch::refusal why) { on_lost(std::move(why)); }}} {}

    void connect(place where);
    void ask(question q);
    // Its place is not one of these any more, or not the best: it ends unless it is being asked.
    void check(const std::vector<place>& best);
    void check_deadline(base::time_point now);

    [[nodiscard]] bool is_closed() const noexcept { return state_ == state::closed; }
    [[nodiscard]] bool is_idle() const noexcept { return state_ == state::idle; }
    [[nodiscard]] bool is_connecting() const noexcept { return state_ == state::connecting; }
    [[nodiscard]] bool is_asking() const noexcept { return state_ == state::asking; }

private:
    enum class state : std::uint8_t { closed, connecting, idle, asking };

    void connect_next();
    void on_resolved(watch::name_lookup::result found);
    void on_connected();
    void on_answered(watch::batch_result batch);
    void on_lost(watch::refusal why);
    void close() noexcept {
        connection_.close();
        resolving_.reset();
        state_ = state::closed;
    }
    void give_up(const lookup_failure& why);
    [[nodiscard]] watch::postgres_link::parameters parameters(const std::string& address) const;

    user_source& of_;
    state state_ = state::closed;
    place place_;
    std::vector<std::string> addresses_;  // still to be tried, the next one last
    question question_;
    base::time_point due_ = base::never;
    std::shared_ptr<char> resolving_;
    watch::postgres_link connection_;
};

// ---- One connection

void user_source::link::connect(place where) {
    place_ = std::move(where);
    state_ = state::connecting;
    // Half of what a question may take, so that there is time for another node.
    due_ = steady::now() + of_.settings_.timeout / 2;
    if (!place_.address.empty() || place_.host.starts_with('/')) {
        addresses_ = {place_.address};
        return connect_next();
    }
    resolving_ = std::make_shared<char>();
    of_.names_.resolve(place_.host, [this, alive = std::weak_ptr{resolving_}](auto found) {
        if (!alive.expired()) {
            on_resolved(std::move(found));
        }
    });
}

void user_source::link::on_resolved(watch::name_lookup::result found) {
    resolving_.reset();
    if (found.addresses.empty()) {
        return give_up({"08006", place_.host + " cannot be resolved: " + found.error, true});
    }
    addresses_.assign(found.addresses.rbegin(), found.addresses.rend());
    connect_next();
}

void user_source::link::connect_next() {
    const auto address = std::move(addresses_.back());
    addresses_.pop_back();
    connection_.connect(parameters(address));
}

// Each keyword that the environment or a file could set otherwise is set here; nothing of a client
// is in it. libpq takes an empty value for none, and would look into the environment.
watch::postgres_link::parameters user_source::link::parameters(const std::string& address) const {
    const std::string nowhere = "/nonexistent";
    const auto& s = of_.settings_;
    const auto& tls = of_.key_.tls;
    const auto file = [&](const std::string& path) { return path.empty() ? nowhere : path; };
    watch::postgres_link::parameters out{
        {"host", place_.host},
        {"port", std::to_string(place_.port)},
        {"user", of_.key_.how.user},
        {"password", std::string{of_.key_.how.password.reveal()}},
        {"passfile", nowhere},
        {"dbname", of_.key_.how.database},
        {"application_name", "pgweir-auth"},
        // A name is the bytes of a startup packet, whose encoding nobody knows: PostgreSQL compares
        // them as they are.
        {"client_encoding", "SQL_ASCII"},
        // Also for a query that names a function without its schema: nobody but an owner of
        // pg_catalog can put another in front of it.
        {"options",
         "-c search_path=pg_catalog -c statement_timeout=" + std::to_string(s.timeout.count())},
        {"sslmode", config::to_string(tls.sslmode)},
        {"sslrootcert", file(tls.sslrootcert)},
        {"sslcert", file(tls.sslcert)},
        {"sslkey", file(tls.sslkey)},
        {"sslcrl", file(tls.sslcrl)},
        {"sslcrldir", nowhere},
        {"ssl_min_protocol_version", libpq_name(tls.ssl_min_protocol_version, "TLSv1")},
        {"ssl_max_protocol_version", libpq_name(tls.ssl_max_protocol_version, "TLSv1.3")},
        {"gssencmode", "disable"},
        {"channel_binding", config::to_string(tls.channel_binding)},
        {"target_session_attrs", "any"},
        {"keepalives", "1"},
        {"keepalives_idle", "30"},
        {"tcp_user_timeout", std::to_string(s.timeout.count())},
    };
    if (!address.empty()) {
        out.emplace_back("hostaddr", address);
    }
    return out;
}

void user_source::link::on_connected() {
    state_ = state::idle;
    due_ = base::never;
    addresses_.clear();
    of_.failures_ = 0;
    of_.retry_at_ = base::no_time;
    of_.last_error_.clear();
    of_.pump();
}

void user_source::link::ask(question q) {
    question_ = std::move(q);
    state_ = state::asking;
    due_ = std::min(question_.deadline, steady::now() + of_.settings_.timeout / 2);
    ++of_.asked_;
    connection_.ask(of_.key_.how.query, {question_.user});
}

void user_source::link::on_answered(watch::batch_result batch) {
    state_ = state::idle;
    due_ = base::never;
    const auto q = std::move(question_);
    of_.on_answer(q, batch);
}

void user_source::link::on_lost(watch::refusal why) {
    if (state_ == state::connecting && !addresses_.empty()) {
        return connect_next();  // "refused" by ::1 says nothing of 127.0.0.1
    }
    // An idle one that ends says nothing: it is made anew when it is needed.
    if (state_ == state::idle) {
        state_ = state::closed;
        return;
    }
    give_up({why.sqlstate, why.text, may_pass(why.sqlstate)});
}

void user_source::link::give_up(const lookup_failure& why) {
    const bool was_asking = state_ == state::asking;
    close();
    const auto where = place_;
    auto q = std::move(question_);
    of_.on_place_failed(where, why);
    if (was_asking) {
        of_.ask_again(std::move(q));
    }
    of_.pump();
}

void user_source::link::check(const std::vector<place>& best) {
    const bool is_listed = std::ranges::find(best, place_) != best.end();
    if ((state_ == state::idle && (best.empty() || !(best.front() == place_))) ||
        (state_ == state::connecting && !is_listed)) {
        close();
    } else if (state_ == state::asking && !is_listed) {
        // The node may not be read from any more: it may have been cut off for hours.
        auto q = std::move(question_);
        close();
        of_.ask_again(std::move(q));
    }
}

void user_source::link::check_deadline(base::time_point now) {
    if (now >= due_ && (state_ == state::connecting || state_ == state::asking)) {
        due_ = base::never;
        give_up({"57014", place_.host + " does not answer (auth_timeout)", true});
    }
}

// ---- The source

user_source::user_source(boost::asio::io_context& io,
                         watch::name_lookup& names,
                         source_key key,
                         const source_settings& settings,
                         std::shared_ptr<cluster::board> board,
                         std::uint64_t& serials)
    : io_{io},
      names_{names},
      key_{std::move(key)},
      label_{label_of(key_)},
      settings_{settings},
      board_{std::move(board)},
      cache_{settings_.cache, serials},
      timer_{io} {
    for (unsigned i = 0; i < settings_.connections; ++i) {
        links_.push_back(std::make_unique<link>(*this));
    }
}

user_source::~user_source() {
    alive_.reset();
    for (const auto& [user, all] : std::exchange(waiting_, {})) {
        for (const auto& then : all) {
            then(std::nullopt);
        }
    }
}

void user_source::configure(const source_settings& settings) {
    if (settings == settings_) {
        return;
    }
    // Those under way are asked again over new connections.
    settings_ = settings;
    cache_.configure(settings.cache);
    links_.clear();
    queue_.clear();
    for (unsigned i = 0; i < settings_.connections; ++i) {
        links_.push_back(std::make_unique<link>(*this));
    }
    for (const auto& user : cache_.asking()) {
        queue_.push_back({user, steady::now() + settings_.timeout});
    }
    pump();
}

void user_source::find(const std::string& user, done then) {
    const auto now = steady::now();
    auto found = cache_.find(user, now);
    if (found.what == user_cache::need::none) {
        ++reused_;
        return then(std::move(found.user));
    }
    // While PostgreSQL is known to be away, nobody waits who can do without.
    auto known = failures_ != 0 ? cache_.stale(user, now) : std::nullopt;
    if (known) {
        ++stale_;
        then(std::move(known));
    } else {
        waiting_[user].push_back(std::move(then));
    }
    if (found.what == user_cache::need::ask) {
        ask(user);
    }
}

void user_source::doubt(const std::string& user, std::uint64_t serial) {
    if (cache_.doubt(user, serial, steady::now())) {
        ask(user);
    }
}

void user_source::ask(const std::string& user) {
    queue_.push_back({user, steady::now() + settings_.timeout});
    pump();
}

void user_source::pump() {
    const auto best = places();
    for (const auto& l : links_) {
        l->check(best);
    }
    while (!queue_.empty()) {
        if (auto* l = idle_link()) {
            auto next = std::move(queue_.front());
            queue_.pop_front();
            l->ask(std::move(next));
        } else if (!connect_one()) {
            break;
        }
    }
    arm();
}

user_source::link* user_source::idle_link() noexcept {
    const auto at = std::ranges::find_if(links_, &link::is_idle);
    return at == links_.end() ? nullptr : at->get();
}

// False: none can be begun now, or enough are.
bool user_source::connect_one() {
    const auto now = steady::now();
    const auto connecting = std::ranges::count_if(links_, &link::is_connecting);
    const auto closed = std::ranges::find_if(links_, &link::is_closed);
    if (closed == links_.end() || now < retry_at_ ||
        static_cast<std::size_t>(connecting) >= queue_.size()) {
        return false;
    }
    const auto where = places();
    if (where.empty()) {
        on_place_failed({}, {"57P03", "no node can be read from", true});
        return false;
    }
    (*closed)->connect(where.front());
    return true;
}

// Where users may be looked up now, the best first: the primary knows first of a new password.
std::vector<user_source::place> user_source::places() const {
    std::vector<place> out;
    if (key_.cluster.empty()) {
        out.push_back({{}, key_.host, {}, key_.port});
        return out;
    }
    const auto published = board_ == nullptr ? nullptr : board_->view();
    if (published == nullptr) {
        return out;
    }
    const auto& view = published->view;
    const auto add = [&](auto wanted) {
        for (std::size_t i = 0; i < published->nodes.size(); ++i) {
            const auto& n = published->nodes[i];
            if (!n.address.empty() && !view.nodes[i].cut && wanted(i)) {
                out.push_back({n.name, n.host, n.address, n.port});
            }
        }
    };
    const auto reads = [&](std::size_t i, cluster::read_quality how_good) {
        return view.primary != i && view.nodes[i].reads == how_good;
    };
    add([&](std::size_t i) { return view.primary == i; });
    add([&](std::size_t i) { return reads(i, cluster::read_quality::good); });
    add([&](std::size_t i) { return reads(i, cluster::read_quality::stale); });
    const auto now = steady::now();
    std::stable_partition(out.begin(), out.end(), [&](const place& p) {
        return std::ranges::none_of(avoided_,
                                    [&](const auto& a) { return a.first == p && now < a.second; });
    });
    return out;
}

void user_source::on_place_failed(const place& where, const lookup_failure& why) {
    const auto now = steady::now();
    ++failed_;
    ++failures_;
    tell(why);
    std::erase_if(avoided_, [&](const auto& a) { return a.first == where || now >= a.second; });
    avoided_.emplace_back(where, now + avoid_for);
    // The others are tried at once.
    const auto n = static_cast<unsigned>(std::max<std::size_t>(places().size(), 1));
    if (why.may_pass && failures_ % n != 0) {
        return;
    }
    const auto rounds = std::min(failures_ / n, 10U);
    retry_at_ = now + std::min<base::duration>(first_retry * (1U << rounds), longest_retry);
    if (!why.may_pass) {
        return fail_all(why);
    }
    // Nobody waits any longer who can do without. It goes on being asked.
    for (const auto& q : queue_) {
        if (const auto known = cache_.stale(q.user, now); known && waiting_.contains(q.user)) {
            ++stale_;
            answer(q.user, known);
        }
    }
}

void user_source::ask_again(question q) {
    if (steady::now() >= q.deadline) {
        return fail(q.user, {"57014", last_error_, true});
    }
    queue_.push_front(std::move(q));
}

void user_source::on_answer(const question& q, watch::batch_result& batch) {
    auto read = read_lookup(q.user, batch);
    if (auto* why = std::get_if<lookup_failure>(&read)) {
        ++failed_;
        tell(*why);
        // A server that shuts down says so here before it closes the connection. One that goes on
        // answering so is not asked for ever.
        constexpr unsigned most_answers = 3;
        auto again = q;
        if (why->may_pass && ++again.answers < most_answers) {
            ask_again(std::move(again));
        } else {
            fail(q.user, *why);
        }
    } else {
        const auto now = steady::now();
        answer(q.user, cache_.on_found(q.user, std::move(std::get<found_secret>(read)), now));
    }
    pump();
}

void user_source::fail(const std::string& user, const lookup_failure& why) {
    const auto found = cache_.on_failed(user, steady::now());
    if (!waiting_.contains(user)) {
        return;
    }
    stale_ += found ? 1 : 0;
    PGWEIR_LOG(debug, "{}: user \"{}\" could not be looked up: {}", label_, user, why.text);
    answer(user, found);
}

void user_source::fail_all(const lookup_failure& why) {
    for (const auto& q : std::exchange(queue_, {})) {
        fail(q.user, why);
    }
}

void user_source::answer(const std::string& user, const std::optional<auth::found_user>& found) {
    const auto all = waiting_.extract(user);
    if (!all.empty()) {
        for (const auto& then : all.mapped()) {
            then(found);
        }
    }
}

void user_source::tell(const lookup_failure& why) {
    const auto now = steady::now();
    if (why.text != last_error_ || told_ == base::no_time || now - told_ >= tell_again_after) {
        PGWEIR_LOG(err, "{}, as {} in database {}: {}{}", label_, key_.how.user, key_.how.database,
                   why.text, why.sqlstate.empty() ? "" : " (" + why.sqlstate + ")");
        told_ = now;
    }
    last_error_ = why.text;
}

// ---- Time

bool user_source::is_asked() const noexcept {
    return !queue_.empty() || std::ranges::any_of(links_, [](const auto& l) {
        return l->is_connecting() || l->is_asking();
    });
}

void user_source::arm() {
    if (is_armed_ || !is_asked()) {
        return;
    }
    is_armed_ = true;
    timer_.expires_after(tick_period);
    timer_.async_wait([this, alive = std::weak_ptr{alive_}](auto error) {
        if (!error && !alive.expired()) {
            is_armed_ = false;
            tick();
        }
    });
}

void user_source::tick() {
    const auto now = steady::now();
    std::vector<question> late;
    std::erase_if(queue_, [&](question& q) {
        const bool is_late = now >= q.deadline;
        if (is_late) {
            late.push_back(std::move(q));
        }
        return is_late;
    });
    for (const auto& q : late) {
        fail(q.user, {"57014", last_error_, true});
    }
    for (const auto& l : links_) {
        l->check_deadline(now);
    }
    pump();
}

metrics::lookup_row user_source::describe() const {
    metrics::lookup_row row;
    row.place = key_.cluster.empty() ? key_.host + ":" + std::to_string(key_.port) : key_.cluster;
    row.database = key_.how.database;
    row.user = key_.how.user;
    for (const auto& l : links_) {
        row.connections += l->is_closed() ? 0 : 1;
    }
    row.waiting = waiting_.size();
    row.known = cache_.known();
    row.unknown = cache_.unknown();
    row.asked = asked_;
    row.reused = reused_;
    row.failed = failed_;
    row.stale = stale_;
    row.last_error = last_error_;
    return row;
}

}  // namespace pgweir::lookup
