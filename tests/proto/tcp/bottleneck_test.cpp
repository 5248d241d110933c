// SPDX-License-Identifier: BSD-3-Clause
// `congestion_control` on one bottleneck in virtual time: a link, a drop-tail queue before it, and random loss.
#include "fluxnet/proto/tcp/congestion_control.hpp"
#include "fluxnet/proto/tcp/rtt_estimator.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <deque>
#include <random>
#include <set>

using namespace std::chrono_literals;
using fluxnet::proto::tcp::ack_sample;
using fluxnet::proto::tcp::congestion_algorithm;
using fluxnet::proto::tcp::congestion_control;
using fluxnet::proto::tcp::rtt_estimator;
using fluxnet::proto::tcp::rtt_options;
using fluxnet::proto::tcp::sequence_number;
using std::chrono::nanoseconds;

namespace {

constexpr std::uint32_t link_mss = 1448;
constexpr std::uint32_t link_burst = 16;  // segments that are sent, queued, dropped and acknowledged together

struct bottleneck_options {
    congestion_algorithm algorithm = congestion_algorithm::cubic;
    nanoseconds round_trip{};
    double bits_per_second = 1e9;
    double queue_in_bdp = 1;
    double loss = 0;  // of a burst
    std::uint32_t burst = link_burst;
    bool use_hystart = true;
    unsigned seed = 1;
};

/// One sender with endless data, and a receiver that acknowledges every burst at once, with SACK. What is lost is known a
/// round trip after it was sent, when what was sent behind it arrives; it is sent again then.
class bottleneck {
public:
    explicit bottleneck(const bottleneck_options& options)
        : options_(options), random_(options.seed), unit_(link_mss * options.burst),
          serial_(static_cast<std::int64_t>(unit_ * 8e9 / options.bits_per_second)),
          queue_limit_(static_cast<std::int64_t>(static_cast<double>(options.round_trip.count()) * options.queue_in_bdp)),
          path_(options.algorithm, link_mss, options.use_hystart), rtt_(rtt_bounds_) {}

    /// Octets delivered while the time went from now to `until`.
    std::uint64_t run(nanoseconds until) {
        const std::uint64_t before = delivered_;
        while (now_ < until) { step(); }
        return delivered_ - before;
    }

    /// Runs until the first slow start is over; returns the octets lost in it.
    std::uint64_t run_slow_start() {
        while (path_.in_slow_start()) { step(); }
        run(now_ + options_.round_trip * 3);
        return lost_;
    }

    [[nodiscard]] std::uint32_t window() const { return path_.window(); }
    [[nodiscard]] std::uint64_t recoveries() const { return recoveries_; }

private:
    struct flying {
        std::uint64_t number;  // of the unit
        nanoseconds sent;
        nanoseconds arrives;  // its acknowledgement
        bool lost;
    };

    void step() {
        while (in_flight_ + unit_ <= path_.window() || in_flight_ == 0) { send(); }
        const flying head = flight_.front();
        flight_.pop_front();
        now_ = std::max(now_, head.arrives);
        in_flight_ -= unit_;
        if (head.lost) {
            on_lost(head.number);
        } else {
            on_arrival(head);
        }
    }

    void send() {
        std::uint64_t number = next_;
        if (again_.empty()) {
            ++next_;
        } else {
            number = again_.front();
            again_.pop_front();
        }
        link_free_ = std::max(link_free_, now_);
        const bool dropped = link_free_ - now_ > queue_limit_ || std::bernoulli_distribution(options_.loss)(random_);
        if (!dropped || link_free_ - now_ <= queue_limit_) { link_free_ += serial_; }
        flight_.push_back({number, now_, link_free_ + options_.round_trip, dropped});
        in_flight_ += unit_;
        path_.on_sent(unit_);
    }

    void on_lost(std::uint64_t number) {
        lost_ += unit_;
        again_.push_back(number);
        missing_.insert(number);
        if (!path_.in_recovery() && number >= recovery_end_) {
            ++recoveries_;
            recovery_end_ = next_;
            path_.on_loss(static_cast<std::uint32_t>(next_ - una()) * unit_, moment(), place(una()), place(next_));
        }
        loss_news_ = true;
    }

    void on_arrival(const flying& unit) {
        const std::uint64_t before = una();
        highest_ = std::max(highest_, unit.number + 1);
        missing_.erase(unit.number);
        delivered_ += unit_;
        const nanoseconds measured = now_ - unit.sent;
        rtt_.sample(measured, moment(), rtt_estimator::gain_shift(in_flight_, link_mss));
        if (path_.in_recovery()) {
            path_.on_recovery_ack(unit_, in_flight_, una() > before && !loss_news_);
            if (una() >= recovery_end_) { path_.on_recovered(); }
        } else {
            path_.on_acked({.delivered = unit_,
                            .in_flight = in_flight_ + unit_,
                            .window_limited = true,
                            .now = moment(),
                            .rtt = measured,
                            .srtt = rtt_.srtt(),
                            .unacknowledged = place(una()),
                            .next = place(next_)});
        }
        loss_news_ = false;
    }

    // The least number that is known to be missing, or the one after the last delivered.
    [[nodiscard]] std::uint64_t una() const { return missing_.empty() ? highest_ : std::min(highest_, *missing_.begin()); }
    [[nodiscard]] sequence_number place(std::uint64_t unit) const {
        return sequence_number(static_cast<std::uint32_t>(0xfff0'0000 + unit * unit_));
    }
    [[nodiscard]] congestion_control::time_point moment() const { return congestion_control::time_point(now_ + 1h); }

    bottleneck_options options_;
    std::mt19937 random_;
    std::uint32_t unit_;
    nanoseconds serial_;
    nanoseconds queue_limit_;
    rtt_options rtt_bounds_;
    congestion_control path_;
    rtt_estimator rtt_;
    nanoseconds now_{0};
    nanoseconds link_free_{0};
    std::deque<flying> flight_;  // in the order in which the news of them arrives
    std::deque<std::uint64_t> again_;
    std::set<std::uint64_t> missing_;
    std::uint64_t next_ = 0;
    std::uint64_t highest_ = 0;
    std::uint64_t recovery_end_ = 0;
    std::uint64_t delivered_ = 0;
    std::uint64_t recoveries_ = 0;
    std::uint64_t lost_ = 0;
    std::uint32_t in_flight_ = 0;
    bool loss_news_ = false;
};

}  // namespace

TEST_CASE("CUBIC fills 1 Gbit/s to nine tenths at 10 and at 100 ms, with a queue of one bandwidth-delay product") {
    for (const auto round_trip : {10ms, 100ms}) {
        CAPTURE(round_trip.count());
        bottleneck link({.round_trip = round_trip});
        link.run(10s);  // slow start and the first losses
        const double bits = static_cast<double>(link.run(70s)) * 8;
        CHECK(bits / 60 >= 0.9e9);
        CHECK(bits / 60 <= 1.01e9);
        CHECK(link.recoveries() >= 1);
        CHECK(link.recoveries() <= 20);
    }
}

TEST_CASE("with HyStart++ the first slow start loses far less in a deep queue, and fills the path all the same (RFC 9406)") {
    for (const auto round_trip : {10ms, 40ms}) {
        for (const double depth : {1.0, 2.0, 4.0}) {
            CAPTURE(round_trip.count());
            CAPTURE(depth);
            const double path_octets = 1e9 / 8 * std::chrono::duration<double>(round_trip).count();
            bottleneck with({.round_trip = round_trip, .queue_in_bdp = depth, .burst = 2});
            bottleneck without({.round_trip = round_trip, .queue_in_bdp = depth, .burst = 2, .use_hystart = false});
            CHECK(static_cast<double>(without.run_slow_start()) >= 1.9 * path_octets);
            CHECK(static_cast<double>(with.run_slow_start()) <= (depth == 1 ? 1.3 : 0.8) * path_octets);
            CHECK(with.window() >= 0.95 * path_octets);
        }
    }
}

TEST_CASE("under random loss the window is that of the response function (RFC 9438 section 5.1, RFC 3649 section 3)") {
    struct {
        congestion_algorithm algorithm;
        nanoseconds round_trip;
        double loss;
        nanoseconds length;
    } const table[] = {
        {congestion_algorithm::cubic, 100ms, 0.01, 300s},      {congestion_algorithm::cubic, 10ms, 0.01, 100s},
        {congestion_algorithm::cubic, 100ms, 0.0001, 300s},    {congestion_algorithm::cubic, 10ms, 0.001, 100s},
        {congestion_algorithm::new_reno, 100ms, 0.01, 300s},   {congestion_algorithm::new_reno, 10ms, 0.001, 100s},
        {congestion_algorithm::new_reno, 100ms, 0.0005, 300s},
    };
    for (const auto& [algorithm, round_trip, loss, length] : table) {
        CAPTURE(round_trip.count());
        CAPTURE(loss);
        bottleneck link({.algorithm = algorithm, .round_trip = round_trip, .loss = loss, .burst = 1});
        link.run(length / 20);
        const double round_trips = static_cast<double>((length - length / 20) / round_trip);
        const double segments = static_cast<double>(link.run(length)) / link_mss / round_trips;
        const double reno = std::sqrt(1.5 / loss);
        double expected = reno;
        if (algorithm == congestion_algorithm::cubic) {  // the greater of its own region's window and Reno's
            expected = std::max(reno, 1.054 * std::pow(std::chrono::duration<double>(round_trip).count() / loss, 0.75));
        }
        // The functions are for a loss after every 1/p segments; losses by chance give a little more.
        CHECK(segments >= 0.9 * expected);
        CHECK(segments <= 1.35 * expected);
    }
}
