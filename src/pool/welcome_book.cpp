// Welcomes that were learned.
#include "pgweir/pool/welcome_book.hpp"

#include <algorithm>

namespace pgweir::pool {

std::shared_ptr<const std::string> welcome_book::find(const settings* s,
                                                      const target& where) const {
    const std::lock_guard lock{mutex_};
    for (const auto& [known, told] : pages_) {
        if (known.get() == s) {
            return told.where->is_same_server(where) ? told.text : nullptr;
        }
    }
    return nullptr;
}

void welcome_book::learn(const settings_ptr& s,
                         const target_ptr& where,
                         const parameter_set& told) {
    constexpr std::size_t most = 256;
    auto text = std::make_shared<const std::string>(told.messages());
    const std::lock_guard lock{mutex_};
    if (pages_.size() >= most) {
        std::erase_if(pages_, [](const auto& p) { return p.first.use_count() == 1; });
    }
    if (pages_.size() >= most) {
        pages_.clear();
    }
    pages_.insert_or_assign(s, page{std::move(text), where});
}

void welcome_book::verify(const settings* s, const target& where, const parameter_set& told) {
    const std::lock_guard lock{mutex_};
    const auto it = std::ranges::find_if(pages_, [s](const auto& p) {
        return p.first.get() == s || (s == nullptr && p.first->values.empty());
    });
    if (it != pages_.end() && it->second.where->is_same_server(where) &&
        *it->second.text != told.messages()) {
        pages_.clear();
    }
}

void welcome_book::clear() {
    const std::lock_guard lock{mutex_};
    pages_.clear();
}

}  // namespace pgweir::pool
