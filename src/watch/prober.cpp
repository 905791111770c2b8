// Probing one node.
#include "watch/prober.hpp"

#include "pgweir/base/log.hpp"

#include <boost/asio/post.hpp>

#include <algorithm>
#include <utility>

namespace pgweir::watch {
namespace {

using base::steady;
using cluster::contact;

// A privilege that was granted meanwhile is noticed after this long.
constexpr auto ask_all_again_after = std::chrono::seconds{60};

std::string milliseconds_text(cluster::duration d) {
    return std::to_string(std::chrono::duration_cast<std::chrono::milliseconds>(d).count()) + " ms";
}

}  // namespace

prober::prober(boost::asio::io_context& io,
               name_lookup& names,
               std::string label,
               std::string host,
               std::uint16_t port,
               probe_settings settings,
               handlers on)
    : io_{io},
      names_{names},
      label_{std::move(label)},
      host_{std::move(host)},
      port_{port},
      settings_{std::move(settings)},
      on_{std::move(on)},
      timer_{io},
      link_{io,
            {.connected = [this] { on_connected(); },
             .answered = [this](batch_result batch) { on_answered(std::move(batch)); },
             .lost = [this](refusal why) { on_lost(std::move(why)); }}},
      door_{io,
            [this](bool is_there, cluster::time_point asked) { on_.knocked(is_there, asked); }} {}

void prober::stop() noexcept {
    is_stopped_ = true;
    alive_.reset();
    alarm_.reset();
    patroni_asked_.reset();
    timer_.cancel();
    link_.close();
    door_.stop();
}

void prober::configure(probe_settings settings) {
    if (settings == settings_) {
        return;
    }
    settings_ = std::move(settings);
    lacking_ = {};
    told_ = {};
    link_.close();
    patroni_asked_.reset();
    waiting_.reset();
    phase_ = phase::resting;
    probe_soon();
}

void prober::set_pace(cluster::pace pace) {
    if (pace != pace_) {
        pace_ = pace;
        if (phase_ == phase::resting) {
            schedule();
        }
    }
}

void prober::probe_soon() {
    is_wanted_soon_ = true;
    if (phase_ == phase::resting) {
        schedule();
    }
}

void prober::knock() {
    if (!is_stopped_ && !known_at_.empty()) {
        door_.knock(parameters_for(known_at_), settings_.connect_timeout);
    }
}

// ---- When

void prober::schedule() {
    if (is_stopped_) {
        return;
    }
    const auto pace = is_wanted_soon_ ? cluster::pace::at_once : pace_;
    set_timer(next_probe(pace, settings_.intervals, begun_) - steady::now(), &prober::begin);
}

void prober::set_timer(cluster::duration after, void (prober::*then)()) {
    timer_.expires_after(std::max(after, cluster::duration::zero()));
    alarm_ = std::make_shared<char>();
    timer_.async_wait([this, then, alarm = std::weak_ptr{alarm_}](auto error) {
        if (!error && !alarm.expired()) {
            (this->*then)();
        }
    });
}

void prober::begin() {
    begun_ = steady::now();
    is_wanted_soon_ = false;
    is_second_try_ = false;
    if (link_.is_connected()) {
        ask();
    } else {
        resolve();
    }
}

// ---- Where

void prober::resolve() {
    phase_ = phase::resolving;
    set_timer(settings_.connect_timeout / 2, &prober::use_old_addresses);
    if (!std::exchange(is_looking_up_, true)) {
        names_.resolve(host_, [this, alive = std::weak_ptr{alive_}](name_lookup::result found) {
            if (!alive.expired()) {
                on_resolved(std::move(found));
            }
        });
    }
}

void prober::on_resolved(name_lookup::result found) {
    is_looking_up_ = false;
    if (found.addresses.empty()) {
        if (!std::exchange(is_name_bad_, true)) {
            PGWEIR_LOG(warn, "{}: the name {} cannot be resolved ({}){}", label_, host_,
                       found.error,
                       addresses_.empty() ? "" : "; its last address is used meanwhile");
        }
    } else {
        if (std::exchange(is_name_bad_, false)) {
            PGWEIR_LOG(info, "{}: the name {} can be resolved again", label_, host_);
        }
        // The order may differ from time to time without anything being new.
        if (!std::ranges::is_permutation(found.addresses, addresses_)) {
            addresses_ = std::move(found.addresses);
            on_.resolved(addresses_);
            // Of several, the one where it is known to be.
            std::stable_partition(addresses_.begin(), addresses_.end(),
                                  [this](const std::string& a) { return a == known_at_; });
        }
    }
    if (phase_ != phase::resolving || is_stopped_) {
        return;
    }
    if (addresses_.empty()) {
        fail(contact::silent, begun_, "the name " + host_ + " cannot be resolved");
    } else {
        connect();
    }
}

void prober::use_old_addresses() {
    if (!std::exchange(is_name_bad_, true)) {
        PGWEIR_LOG(warn, "{}: the name {} is slow to resolve{}", label_, host_,
                   addresses_.empty() ? "" : "; its last address is used meanwhile");
    }
    if (!addresses_.empty()) {
        connect();
    } else {
        set_timer(begun_ + settings_.connect_timeout - steady::now(), &prober::on_timeout);
    }
}

// ---- Connecting

// Each address of a name is tried in turn, within one deadline: "refused" by ::1 says nothing of
// 127.0.0.1.
void prober::connect() {
    phase_ = phase::connecting;
    tried_ = 0;
    worst_ = known_result_ = contact::none;
    set_timer(begun_ + settings_.connect_timeout - steady::now(), &prober::on_timeout);
    connect_to_next();
}

void prober::connect_to_next() {
    address_ = addresses_[tried_++];
    link_.connect(parameters_for(address_));
}

// Each keyword that the environment or a file could set otherwise is set here.
postgres_link::parameters prober::parameters_for(const std::string& address) const {
    // libpq takes an empty value for none, and would look into the environment.
    const std::string nowhere = "/nonexistent";
    const auto statement_timeout =
        std::chrono::duration_cast<std::chrono::milliseconds>(settings_.probe_timeout).count();
    return {
        {"host", host_},
        {"hostaddr", address},
        {"port", std::to_string(port_)},
        {"user", settings_.user},
        {"password", std::string{settings_.password.reveal()}},
        {"passfile", nowhere},
        {"dbname", settings_.database},
        {"application_name", "pgweir-monitor"},
        {"options",
         "-c search_path=pg_catalog -c statement_timeout=" + std::to_string(statement_timeout)},
        {"sslmode", settings_.sslmode},
        {"sslrootcert", settings_.sslrootcert.empty() ? nowhere : settings_.sslrootcert},
        {"sslcert", nowhere},
        {"sslkey", nowhere},
        {"sslcrl", nowhere},
        {"sslcrldir", nowhere},
        {"ssl_min_protocol_version", "TLSv1.2"},
        {"gssencmode", "disable"},
        {"channel_binding", settings_.channel_binding},
        {"target_session_attrs", "any"},
        {"keepalives", "1"},
        {"keepalives_idle", std::to_string(settings_.keepalive_idle.count())},
        {"tcp_user_timeout", std::to_string(settings_.tcp_user_timeout.count())},
    };
}

void prober::on_connected() {
    lacking_ = {};
    ask();
}

// ---- Asking

void prober::ask() {
    phase_ = phase::asking;
    asked_ = steady::now();
    skipped_ = {};
    if (asked_ - lacking_since_ > ask_all_again_after) {
        lacking_ = {};
    }
    set_timer(settings_.probe_timeout, &prober::on_timeout);
    ask_patroni();
    send_batch();
}

void prober::send_batch() {
    parts_ = parts_to_ask(settings_.uses_repmgr, lacking_ | skipped_);
    link_.ask(batch_of(parts_));
}

void prober::on_answered(batch_result batch) {
    if (!batch.failed) {
        read(batch);
    } else if (!make_do_without(batch.results.size(), *batch.failed)) {
        fail(said_by_it(contact::denied), asked_, batch.failed->text);
    }
}

// Asks for the rest without the statement that failed, which ended the batch. False: without that
// one nothing is worth asking.
bool prober::make_do_without(std::size_t index, const batch_result::error& error) {
    // A function that only works in recovery, on a server that has just been promoted.
    const bool is_passing = error.sqlstate == "55000" && !std::exchange(is_second_try_, true);
    if (!is_passing) {
        if (index >= parts_.size() || parts_[index] == part::role) {
            return false;
        }
        skipped_.add(parts_[index]);
        // A privilege or an object is missing: not only this time.
        if (error.sqlstate.starts_with("42") || error.sqlstate.starts_with("3F")) {
            lacking_.add(parts_[index]);
            lacking_since_ = asked_;
            tell_once(parts_[index], error.sqlstate);
        }
    }
    send_batch();
    return true;
}

void prober::tell_once(part p, std::string_view sqlstate) {
    if (!told_.has(p)) {
        told_.add(p);
        PGWEIR_LOG(warn, "{}: {}", label_, advice_on(p, sqlstate, settings_.user));
    }
}

void prober::read(const batch_result& batch) {
    probe_answer answer;
    for (std::size_t i = 0; i < std::min(parts_.size(), batch.results.size()); ++i) {
        read_part(parts_[i], batch.results[i], answer);
    }
    for (const auto p : parts_) {
        if (answer.unseen.has(p)) {
            tell_once(p, "42501");
        }
    }
    if (!answer.role) {
        fail(said_by_it(contact::denied), asked_,
             "what the server says of its role is not understood");
        return;
    }
    known_at_ = address_;
    probe_outcome out;
    out.address = address_;
    out.report.asked = asked_;
    out.report.result = contact::answered;
    out.report.role = answer.role;
    out.report.receiver = std::move(answer.receiver);
    if (answer.senders) {
        auto& senders = out.report.senders.emplace();
        senders.senders = silence_.judge(*answer.senders, asked_);
        senders.slots = std::move(answer.slots).value_or(std::vector<cluster::slot_row>{});
    }
    if (answer.repmgr) {
        auto& repmgr = out.report.repmgr.emplace();
        repmgr.nodes = std::move(*answer.repmgr);
        repmgr.local_id = answer.repmgr_local;
        repmgr.term = answer.repmgr_term;
    }
    out.addresses = std::move(answer.addresses);
    out.took = steady::now() - asked_;
    if (patroni_asked_ != nullptr) {
        waiting_ = std::move(out);
        return;
    }
    out.patroni = std::exchange(patroni_, std::nullopt);
    finish(std::move(out));
}

// ---- Patroni: beside the questions to the server, within the same time

void prober::ask_patroni() {
    patroni_.reset();
    waiting_.reset();
    patroni_asked_.reset();
    if (settings_.patroni_port == 0) {
        return;
    }
    patroni_asked_ = std::make_shared<char>();
    get_from_patroni("/primary", &prober::on_patroni_status);
}

void prober::get_from_patroni(std::string path, void (prober::*then)(http_answer)) {
    http_get(io_,
             {.address = address_,
              .port = settings_.patroni_port,
              .host = host_,
              .path = std::move(path),
              .timeout = settings_.probe_timeout},
             [this, then, asked = std::weak_ptr{patroni_asked_}](http_answer answer) {
                 if (!asked.expired()) {
                     (this->*then)(std::move(answer));
                 }
             });
}

void prober::on_patroni_status(http_answer answer) {
    patroni_ = read_patroni_status(answer.status, answer.body);
    if (patroni_) {
        get_from_patroni("/cluster", &prober::on_patroni_members);
    } else {
        end_patroni();
    }
}

void prober::on_patroni_members(http_answer answer) {
    patroni_->members = read_patroni_members(answer.status, answer.body);
    end_patroni();
}

void prober::end_patroni() {
    patroni_asked_.reset();
    if (waiting_) {
        auto out = *std::exchange(waiting_, std::nullopt);
        out.patroni = std::exchange(patroni_, std::nullopt);
        finish(std::move(out));
    }
}

// ---- Ends

void prober::on_lost(refusal why) {
    if (phase_ == phase::asking) {
        is_wanted_soon_ = true;  // a fresh connect tells whether the server has ended, too
        fail(said_by_it(why.result), asked_, std::move(why.text));
    } else if (phase_ == phase::resting) {
        is_wanted_soon_ = true;
        probe_outcome out;
        out.report.asked = steady::now();
        out.report.result = said_by_it(why.result);
        out.error = std::move(why.text);
        out.was_idle = true;
        finish(std::move(out));
    } else if (is_at_known_address() &&
               (cluster::proves_alive(why.result) || why.result == contact::starting_up)) {
        fail(why.result, begun_, std::move(why.text));
    } else {
        worst_ = worst_ == contact::silent ? worst_ : why.result;
        if (why.is_about_tls) {
            tell_denial(why.text);
        }
        if (address_ == known_at_) {
            known_result_ = why.result;
        }
        if (tried_ < addresses_.size()) {
            connect_to_next();
        } else {
            fail(said_at_the_end(), begun_, std::move(why.text));
        }
    }
}

// No address let us in. Of a server that is known only its own address tells.
contact prober::said_at_the_end() const {
    if (known_at_.empty()) {
        return worst_;
    }
    return known_result_ == contact::none ? contact::silent : known_result_;
}

void prober::on_timeout() {
    if (waiting_) {
        end_patroni();
        return;
    }
    link_.close();
    if (phase_ == phase::asking) {
        fail(contact::silent, asked_,
             "no answer within " + milliseconds_text(settings_.probe_timeout));
    } else if (phase_ == phase::connecting) {
        // The next probe begins with the address behind the one that took all the time.
        const auto next = static_cast<std::ptrdiff_t>(tried_ % addresses_.size());
        std::rotate(addresses_.begin(), addresses_.begin() + next, addresses_.end());
        fail(contact::silent, begun_,
             "no connection within " + milliseconds_text(settings_.connect_timeout));
    } else {
        fail(contact::silent, begun_, "the name " + host_ + " is slow to resolve");
    }
}

void prober::fail(contact how, cluster::time_point asked, std::string error) {
    if (how == contact::denied) {
        tell_denial(error);
    }
    probe_outcome out;
    out.report.asked = asked;
    out.report.result = how;
    out.error = std::move(error);
    finish(std::move(out));
}

// Once, until there is another one.
void prober::tell_denial(const std::string& error) {
    if (error != std::exchange(denial_, error)) {
        PGWEIR_LOG(warn, "{}: {}", label_, error);
    }
}

void prober::finish(probe_outcome outcome) {
    if (!outcome.was_idle) {
        ++results_[static_cast<std::size_t>(outcome.report.result)];
    }
    patroni_asked_.reset();
    waiting_.reset();
    phase_ = phase::resting;
    schedule();
    on_.probed(std::move(outcome));
}

}  // namespace pgweir::watch
