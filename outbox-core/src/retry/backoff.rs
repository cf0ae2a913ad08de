use std::time::Duration;

/// The longest delay that a policy can ask for: ten years.
const LONGEST: Duration = Duration::from_secs(10 * 366 * 24 * 3600);

/// Exponential backoff with full jitter, as a pure function.
///
/// The delay before attempt n + 1 is a random part of `min(max_delay, base * factor^(n - 1))`.
/// Spreading over the whole range keeps retries of many keys from arriving together ("Exponential Backoff And
/// Jitter", AWS Architecture Blog, 2015).
#[must_use]
pub(super) fn full_jitter(base: Duration, factor: f64, max_delay: Duration, attempts: u32, random: f64) -> Duration {
    ceiling(base, factor, max_delay, attempts).mul_f64(random.clamp(0.0, 1.0))
}

/// The upper end of the jitter's range.
pub(super) fn ceiling(base: Duration, factor: f64, max_delay: Duration, attempts: u32) -> Duration {
    let exponent = i32::try_from(attempts.saturating_sub(1)).unwrap_or(i32::MAX);
    let seconds = base.as_secs_f64() * factor.powi(exponent);
    let most = max_delay.min(LONGEST);
    // An overflow to infinity, or 0 * infinity, ends at the cap too.
    if seconds < most.as_secs_f64() { Duration::from_secs_f64(seconds) } else { most }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);
    const MINUTE: Duration = Duration::from_secs(60);

    #[test]
    fn the_range_doubles_up_to_the_cap() {
        let ceilings: Vec<_> = (1..=8).map(|n| ceiling(SECOND, 2.0, MINUTE, n).as_secs()).collect();
        assert_eq!(ceilings, [1, 2, 4, 8, 16, 32, 60, 60]);
    }

    #[test]
    fn the_jitter_covers_the_whole_range() {
        let delay = |random| full_jitter(SECOND, 2.0, MINUTE, 4, random);
        assert_eq!(delay(0.0), Duration::ZERO);
        assert_eq!(delay(0.5), 4 * SECOND);
        assert_eq!(delay(1.0), 8 * SECOND);
    }

    #[test]
    fn no_input_overflows() {
        for attempts in [0, 1, 2, 1000, u32::MAX] {
            for base in [Duration::ZERO, SECOND, Duration::MAX] {
                for factor in [1.0, 2.0, f64::MAX] {
                    for cap in [Duration::ZERO, MINUTE, Duration::MAX] {
                        assert!(full_jitter(base, factor, cap, attempts, 1.0) <= cap.min(LONGEST));
                    }
                }
            }
        }
    }
}
