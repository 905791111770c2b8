// A server that talks without end holds up nobody.
#include "pool/pool_scene.hpp"

#include <atomic>
#include <future>
#include <thread>

namespace pgweir::pool {
namespace {

// Says the same again and again for as long as this lives.
class flood {
public:
    flood(backend& from, const messages& what)
        : thread_{[this, &from, bytes = bytes_of(what)] {
              try {
                  while (!is_over_) {
                      from.send_bytes(bytes);
                  }
              } catch (const std::exception&) {
                  // Nobody is there any more.
              }
          }} {}
    flood(const flood&) = delete;
    flood& operator=(const flood&) = delete;
    ~flood() {
        is_over_ = true;
        thread_.join();
    }

private:
    std::atomic<bool> is_over_ = false;
    std::thread thread_;
};

class server_flood : public pool_scene {
protected:
    // Does the worker get round to what others want of it, while `from` goes on and on?
    bool holds_up_nobody(backend& from) {
        messages some;
        for (int i = 0; i < 10'000; ++i) {
            some.push_back(notice());
        }
        std::future<void> others;
        auto heard = std::future_status::timeout;
        {
            const flood talk{from, some};
            std::this_thread::sleep_for(100ms);  // it fills what the kernel takes
            others = std::async(std::launch::async, [this] { settle(); });
            heard = others.wait_for(10s);
        }
        others.get();
        return heard == std::future_status::ready;
    }

private:
    static message notice() { return {'N', std::string("SNOTICE\0C00000\0Mhello\0\0", 23)}; }
};

TEST_F(server_flood, while_it_logs_in) {
    newcomer();
    auto b = postgres_.accept();
    b.read_startup();
    EXPECT_TRUE(holds_up_nobody(b));
}

TEST_F(server_flood, while_nobody_uses_it) {
    auto [c, b] = served_newcomer();
    give_back(*c);
    EXPECT_TRUE(holds_up_nobody(b));
}

}  // namespace
}  // namespace pgweir::pool
