// What clients of one pool are told at their login, whichever worker has learned it.
#pragma once

#include "pgweir/pool/server_startup.hpp"
#include "pgweir/pool/settings.hpp"
#include "pgweir/pool/target.hpp"

#include <memory>
#include <mutex>
#include <string>
#include <unordered_map>

namespace pgweir::pool {

// PostgreSQL's ParameterStatus messages, by the settings that a client asks for. Any thread; used
// at logins, and when a server has been cleaned. `where` is where the servers of the worker that
// asks are: what was learned elsewhere, before a reload or after one, is not told.
class welcome_book {
public:
    // Null: no server has told yet.
    [[nodiscard]] std::shared_ptr<const std::string> find(const settings* s,
                                                          const target& where) const;
    void learn(const settings_ptr& s, const target_ptr& where, const parameter_set& told);
    // A clean server with these settings (null: none) says this. If it is not what clients are
    // told, all is forgotten: what changed for one may have changed for all.
    void verify(const settings* s, const target& where, const parameter_set& told);
    void clear();

private:
    struct page {
        std::shared_ptr<const std::string> text;
        target_ptr where;
    };

    mutable std::mutex mutex_;
    std::unordered_map<settings_ptr, page> pages_;
};

}  // namespace pgweir::pool
