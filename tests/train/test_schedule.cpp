#include <limits>

#include "catch.h"
#include "hmrnn/train/schedule.h"

TEST_CASE("the learning rate falls once, by 50, after `patience` evaluations without improvement") {
  hmrnn::PlateauSchedule schedule(0.002, 2);
  CHECK_FALSE(schedule.update(3.0));
  CHECK_FALSE(schedule.update(2.0));
  CHECK_FALSE(schedule.update(2.5));  // first without
  CHECK_FALSE(schedule.update(1.9));  // improvement: counting starts again
  CHECK_FALSE(schedule.update(1.95));
  CHECK(schedule.learning_rate() == 0.002);
  CHECK(schedule.update(1.92));  // better than the last one, not than the best
  CHECK(schedule.learning_rate() == Approx(0.00004));
  CHECK_FALSE(schedule.exhausted());
  CHECK_FALSE(schedule.update(1.95));
  CHECK_FALSE(schedule.update(1.95));
  CHECK(schedule.exhausted());
  CHECK_FALSE(schedule.update(5.0));
  CHECK(schedule.learning_rate() == Approx(0.00004));  // never twice
}

TEST_CASE("an equal or a not finite loss is no improvement") {
  hmrnn::PlateauSchedule schedule(1, 1);
  CHECK_FALSE(schedule.update(2.0));
  CHECK(schedule.update(2.0));
  hmrnn::PlateauSchedule other(1, 1);
  CHECK(other.update(std::numeric_limits<double>::quiet_NaN()));
  CHECK_FALSE(other.state().best.has_value());
}

TEST_CASE("a schedule goes on from its saved state") {
  hmrnn::PlateauSchedule a(1, 2), b(1, 2);
  a.update(1.0);
  a.update(1.5);
  b.set_state(a.state());
  CHECK(a.update(1.2));
  CHECK(b.update(1.2));
  CHECK(b.learning_rate() == a.learning_rate());
}

TEST_CASE("slope annealing follows the completed epochs up to its maximum") {
  CHECK(hmrnn::annealed_slope(0.04, 5, 0) == 1);
  CHECK(hmrnn::annealed_slope(0.04, 5, 10) == Approx(1.4));
  CHECK(hmrnn::annealed_slope(0.04, 5, 100) == Approx(5));
  CHECK(hmrnn::annealed_slope(0.04, 5, 1000) == 5);
  CHECK(hmrnn::annealed_slope(0, 5, 1000) == 1);
}
