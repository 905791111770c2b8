// The lease of the primary as workers and the thread that decides share it: doubt suspends it.
#pragma once

#include "pgweir/cluster/lease.hpp"

#include <mutex>

namespace pgweir::cluster {

// A node that is killed loses its backends one after the other, and whoever lost the first of them
// would lose the next as well. So the worker that sees a connection to the primary break takes the
// lease away from all workers at once. It comes back when the node has been seen to let somebody in
// since: a dying server answers on the connections that it still has, but admits nobody.
//
// One backend may end for reasons of its own, and whoever may log in may end some. So each doubt is
// short, and for a while after it there is none.
class primary_lease {
public:
    // Breaks that come this long after the first one have to be answered as well.
    static constexpr duration renewable = std::chrono::milliseconds{20};
    // There is no doubt for so long after one that was dispelled.
    static constexpr duration rest = std::chrono::milliseconds{200};

    // What workers check, by themselves, before each transaction.
    [[nodiscard]] const shared_lease& word() const noexcept { return word_; }
    [[nodiscard]] lease_word load() const noexcept { return word_.load(); }

    // Workers. A connection made under `stamp` was found broken at `at`, by the clock and not by
    // the turn's time: an older answer must not do. True: this began a doubt.
    bool doubt(grant_stamp stamp, time_point at) noexcept;

    // The thread that decides. What `view` allows, unless that is in doubt. A doubt ends with its
    // grant, and when it is `longest` old: then the evidence that the view is made of has to do.
    // True: this ended one.
    bool publish(const cluster_view& view, time_point now, duration longest) noexcept;
    // Nobody may write anywhere.
    void end() noexcept;
    // The node has let somebody in who knocked at `asked`. True: that ended a doubt, and the next
    // publish() gives back what it took.
    bool dispel(time_point asked, time_point now) noexcept;
    [[nodiscard]] bool is_doubted() const noexcept;

private:
    bool stop_doubting(time_point calm_until) noexcept;

    mutable std::mutex mutex_;  // held for some comparisons only; by all who change the word
    shared_lease word_;
    grant_stamp granted_ = grant_stamp::none;  // in the word, or would be but for the doubt
    time_point since_ = no_time;               // of the doubt; no_time: there is none
    time_point newest_ = no_time;              // the last break that has to be answered
    time_point calm_until_ = no_time;
};

}  // namespace pgweir::cluster
