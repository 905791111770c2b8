// A piece of work that one thread gives to another.
#pragma once

#include <memory>
#include <utility>

namespace pgweir::net {

// Move-only callable without arguments (C++20 has no std::move_only_function). Runs at most once;
// what it owns dies with it, run or not.
class task {
public:
    task() = default;
    template <class Function>
    // NOLINTNEXTLINE(google-explicit-constructor): any callable is a task
    task(Function f) : body_{std::make_unique<holder<Function>>(std::move(f))} {}

    void operator()() {
        if (const auto body = std::exchange(body_, nullptr)) {
            body->run();
        }
    }

private:
    struct base {
        virtual ~base() = default;
        virtual void run() = 0;
    };
    template <class Function>
    struct holder final : base {
        explicit holder(Function f) : function{std::move(f)} {}
        void run() override { function(); }
        Function function;
    };

    std::unique_ptr<base> body_;
};

}  // namespace pgweir::net
