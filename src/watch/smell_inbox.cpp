// The inbox of smells.
#include "watch/smell_inbox.hpp"

#include <algorithm>
#include <utility>

namespace pgweir::watch {

void smell_inbox::put(const std::string& node, cluster::smell what, base::time_point at) {
    if (const std::unique_lock lock{mutex_, std::try_to_lock}; lock) {
        if (!is_news(node, what, at)) {
            return;
        }
        auto found = std::ranges::find(entries_, node, &entry::node);
        if (found == entries_.end() && entries_.size() < max_entries) {
            found = entries_.insert(found, entry{node, base::no_time, base::no_time});
        }
        if (found == entries_.end()) {
            is_incomplete_ = true;
        } else {
            found->smelled = std::max(found->smelled, at);
            if (what == cluster::smell::in_recovery) {
                found->in_recovery = std::max(found->in_recovery, at);
            }
        }
    } else if (what == cluster::smell::read_only) {
        return;  // the next one will do
    } else {
        is_incomplete_ = true;
    }
    if (!is_awake_.exchange(true)) {
        wake_();
    }
}

bool smell_inbox::is_news(const std::string& node, cluster::smell what, base::time_point at) {
    if (what != cluster::smell::read_only) {
        return true;
    }
    const auto last = read_only_.find(node);
    if (last == read_only_.end()) {
        return read_only_.size() < max_entries && read_only_.emplace(node, at).second;
    }
    if (at - last->second < between_read_only) {
        return false;
    }
    last->second = at;
    return true;
}

smell_inbox::contents smell_inbox::take() {
    is_awake_ = false;  // before the look, so that what comes behind it wakes again
    contents out;
    const std::lock_guard lock{mutex_};
    out.entries = std::exchange(entries_, {});
    out.is_incomplete = is_incomplete_.exchange(false);
    return out;
}

}  // namespace pgweir::watch
