#include <c10/util/Exception.h>

#include <cmath>
#include <limits>

#include "catch.h"
#include "hmrnn/train/schedule.h"

using hmrnn::LearningRateOptions;
using hmrnn::LearningRateSchedule;
using hmrnn::ScheduleKind;

TEST_CASE("the learning rate falls once, by 50, after `patience` evaluations without improvement") {
  LearningRateSchedule schedule({.rate = 0.002, .patience = 2});
  CHECK_FALSE(schedule.update(3.0));
  CHECK_FALSE(schedule.update(2.0));
  CHECK_FALSE(schedule.update(2.5));  // first without improvement
  CHECK_FALSE(schedule.update(1.9));  // improvement: the count restarts
  CHECK_FALSE(schedule.update(1.95));
  CHECK(schedule.rate(100) == 0.002);
  CHECK(schedule.update(1.92));  // better than the last one, but not than the best
  CHECK(schedule.rate(101) == Approx(0.00004));
  CHECK_FALSE(schedule.exhausted());
  CHECK_FALSE(schedule.update(1.95));
  CHECK_FALSE(schedule.update(1.95));
  CHECK(schedule.exhausted());
  CHECK_FALSE(schedule.update(5.0));
  CHECK(schedule.rate(102) == Approx(0.00004));  // only one drop
}

TEST_CASE("any number of drops that a file names is computed at once") {
  for (const double divisor : {1.0, 1.5, 50.0}) {
    LearningRateSchedule schedule({.rate = 0.002, .divisor = divisor});
    schedule.set_state({.drops = std::numeric_limits<int64_t>::max()});
    CHECK(schedule.rate(0) == Approx(divisor == 1 ? 0.002 : 0).margin(1e-300));
  }
}

TEST_CASE("a plateau may drop several times, by a factor of its own") {
  LearningRateSchedule schedule({.rate = 1, .divisor = 4, .drops = 2});
  CHECK_FALSE(schedule.update(2.0));
  CHECK(schedule.update(2.0));
  CHECK(schedule.rate(0) == 0.25);
  CHECK_FALSE(schedule.exhausted());
  CHECK(schedule.update(2.0));
  CHECK(schedule.rate(0) == 0.0625);
  CHECK_FALSE(schedule.update(2.0));
  CHECK(schedule.exhausted());
  CHECK(schedule.state().drops == 2);
}

TEST_CASE("an equal or a not finite loss is no improvement") {
  LearningRateSchedule schedule({.rate = 1});
  CHECK_FALSE(schedule.update(2.0));
  CHECK(schedule.update(2.0));
  LearningRateSchedule other({.rate = 1});
  CHECK(other.update(std::numeric_limits<double>::quiet_NaN()));
  CHECK_FALSE(other.state().best.has_value());
}

TEST_CASE("a schedule continues from its saved state") {
  LearningRateSchedule a({.rate = 1, .patience = 2}), b({.rate = 1, .patience = 2});
  a.update(1.0);
  a.update(1.5);
  b.set_state(a.state());
  CHECK(a.update(1.2));
  CHECK(b.update(1.2));
  CHECK(b.rate(7) == a.rate(7));
}

TEST_CASE("a cosine goes from the highest rate to the last one over its length, whatever validation says") {
  LearningRateSchedule schedule({.kind = ScheduleKind::Cosine, .rate = 0.01, .final_rate = 0.001, .length = 101});
  CHECK(schedule.rate(0) == Approx(0.01));
  CHECK(schedule.rate(50) == Approx(0.0055));
  CHECK(schedule.rate(25) == Approx(0.001 + 0.009 * (1 + std::sqrt(0.5)) / 2));
  CHECK(schedule.rate(100) == Approx(0.001));
  CHECK(schedule.rate(5000) == Approx(0.001));  // a run that continues after the end of the schedule
  CHECK_FALSE(schedule.update(1.0));
  CHECK_FALSE(schedule.update(2.0));
  CHECK_FALSE(schedule.exhausted());
  CHECK(schedule.rate(50) == Approx(0.0055));
  CHECK_THROWS_AS(LearningRateSchedule({.kind = ScheduleKind::Cosine}), c10::Error);
}

TEST_CASE("warm-up rises linearly, and a cosine begins after it") {
  LearningRateSchedule constant({.kind = ScheduleKind::Constant, .rate = 1, .warmup = 4});
  for (int64_t step = 0; step < 4; ++step) CHECK(constant.rate(step) == Approx(0.25 * static_cast<double>(step + 1)));
  CHECK(constant.rate(4) == 1);
  CHECK(constant.rate(1000) == 1);
  LearningRateSchedule cosine({.kind = ScheduleKind::Cosine, .rate = 1, .warmup = 10, .length = 111});
  CHECK(cosine.rate(0) == Approx(0.1));
  CHECK(cosine.rate(10) == Approx(1));
  CHECK(cosine.rate(60) == Approx(0.5));
  CHECK(cosine.rate(110) == Approx(0).margin(1e-12));
}

TEST_CASE("slope annealing follows the completed epochs up to its maximum") {
  CHECK(hmrnn::annealed_slope(0.04, 5, 0) == 1);
  CHECK(hmrnn::annealed_slope(0.04, 5, 10) == Approx(1.4));
  CHECK(hmrnn::annealed_slope(0.04, 5, 100) == Approx(5));
  CHECK(hmrnn::annealed_slope(0.04, 5, 1000) == 5);
  CHECK(hmrnn::annealed_slope(0, 5, 1000) == 1);
}
