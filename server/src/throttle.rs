//! Failed log-ins are slowed down: after a few of them an address has to wait before its next, longer each time.
//!
//! Nothing sleeps: who comes too early is refused at once, and time is the caller's.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Mutex, MutexGuard, PoisonError};

const NS_PER_SECOND: i64 = 1_000_000_000;

/// Failures that cost nothing: people mistype.
const FREE: u32 = 3;

/// The longest wait.
const WAIT_MAX_S: i64 = 60;

/// After so long without a failure an address is as good as new.
const FORGOTTEN_AFTER_NS: i64 = 15 * 60 * NS_PER_SECOND;

/// Addresses that are remembered; of more, the ones that failed longest ago are forgotten.
const ADDRESSES_MAX: usize = 10_000;

/// The addresses from which log-ins have failed of late.
#[derive(Debug, Default)]
pub(crate) struct Throttle {
    failures: Mutex<HashMap<IpAddr, Failures>>,
}

#[derive(Debug, Clone, Copy)]
struct Failures {
    count: u32,
    last_ns: i64,
}

impl Failures {
    /// When the next attempt may be.
    fn next_ns(self) -> i64 {
        let over = self.count.saturating_sub(FREE);
        let wait_s = if over == 0 { 0 } else { (1_i64 << (over - 1).min(6)).min(WAIT_MAX_S) };
        self.last_ns.saturating_add(wait_s * NS_PER_SECOND)
    }

    fn is_forgotten(self, now_ns: i64) -> bool {
        now_ns.saturating_sub(self.last_ns) > FORGOTTEN_AFTER_NS
    }
}

impl Throttle {
    /// Whether somebody may try now.
    ///
    /// # Errors
    /// The seconds that he has to wait, at least 1.
    pub(crate) fn check(&self, from: IpAddr, now_ns: i64) -> Result<(), u64> {
        let failures = self.lock();
        let known = failures.get(&network(from)).filter(|failures| !failures.is_forgotten(now_ns));
        let wait_ns = known.map_or(0, |failures| failures.next_ns().saturating_sub(now_ns));
        match u64::try_from(wait_ns) {
            Ok(0) | Err(_) => Ok(()),
            Ok(wait_ns) => Err(wait_ns.div_ceil(NS_PER_SECOND as u64)),
        }
    }

    /// Notes that a log-in has failed.
    pub(crate) fn failed(&self, from: IpAddr, now_ns: i64) {
        let mut all = self.lock();
        let from = network(from);
        if all.len() >= ADDRESSES_MAX && !all.contains_key(&from) {
            all.retain(|_, failures| !failures.is_forgotten(now_ns));
            if all.len() >= ADDRESSES_MAX
                && let Some(oldest) = all.iter().min_by_key(|(_, failures)| failures.last_ns).map(|(from, _)| *from)
            {
                all.remove(&oldest);
            }
        }
        let failures = all.entry(from).or_insert(Failures { count: 0, last_ns: now_ns });
        if failures.is_forgotten(now_ns) {
            failures.count = 0;
        }
        *failures = Failures { count: failures.count.saturating_add(1), last_ns: now_ns };
    }

    /// Notes that a log-in has succeeded.
    pub(crate) fn succeeded(&self, from: IpAddr) {
        self.lock().remove(&network(from));
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<IpAddr, Failures>> {
        self.failures.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What counts as one address: of IPv6 the network of 64 bits, which one machine has for itself.
fn network(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(v6) => match v6.to_ipv4_mapped() {
            Some(v4) => IpAddr::V4(v4),
            None => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & !u128::from(u64::MAX))),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn waits_grow_and_end() {
        let (throttle, from) = (Throttle::default(), address("10.0.0.1"));
        let mut waits = Vec::new();
        for _ in 0..12 {
            throttle.failed(from, 0);
            waits.push(throttle.check(from, 0).err().unwrap_or(0));
        }
        assert_eq!(waits, [0, 0, 0, 1, 2, 4, 8, 16, 32, 60, 60, 60]);
        assert_eq!(throttle.check(from, 59 * NS_PER_SECOND), Err(1));
        assert_eq!(throttle.check(from, 60 * NS_PER_SECOND), Ok(()));
        assert_eq!(throttle.check(address("10.0.0.2"), 0), Ok(()));
    }

    #[test]
    fn success_and_time_clear_an_address() {
        let (throttle, from) = (Throttle::default(), address("10.0.0.1"));
        (0..5).for_each(|_| throttle.failed(from, 0));
        throttle.succeeded(from);
        assert_eq!(throttle.check(from, 0), Ok(()));
        (0..5).for_each(|_| throttle.failed(from, 0));
        throttle.failed(from, FORGOTTEN_AFTER_NS + 1);
        assert_eq!(throttle.check(from, FORGOTTEN_AFTER_NS + 1), Ok(()));
    }

    #[test]
    fn a_network_of_ipv6_is_one_address_and_memory_is_bounded() {
        let throttle = Throttle::default();
        (0..6).for_each(|host| throttle.failed(address(&format!("2001:db8::{host}")), 0));
        assert!(throttle.check(address("2001:db8::ffff"), 0).is_err());
        assert!(throttle.check(address("2001:db8:0:1::1"), 0).is_ok());
        for number in 0..=ADDRESSES_MAX as u32 {
            throttle.failed(IpAddr::V4(number.into()), i64::from(number));
        }
        assert_eq!(throttle.lock().len(), ADDRESSES_MAX);
    }
}
