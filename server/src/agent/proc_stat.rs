//! `/proc/stat`: where each core's time went since boot, and the share of it between two readings.

/// Time of one core, or of all together, in clock ticks since boot. Guest time is part of `user` and `nice`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct CpuTimes {
    user: u64,
    nice: u64,
    system: u64,
    idle: u64,
    iowait: u64,
    irq: u64,
    softirq: u64,
    steal: u64,
    guest: u64,
    guest_nice: u64,
}

/// What the file says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct ProcStat {
    /// Name (`cpu-total`, `cpu0`, ...) and times.
    pub(super) cpus: Vec<(String, CpuTimes)>,
    /// Processes that run or want to.
    pub(super) running: Option<u64>,
    /// Processes that wait for a disk.
    pub(super) blocked: Option<u64>,
}

impl ProcStat {
    /// Reads the text of the file; lines that are not understood are skipped.
    pub(super) fn parse(text: &str) -> ProcStat {
        let mut stat = ProcStat::default();
        for line in text.lines() {
            let (name, rest) = line.split_once(' ').unwrap_or((line, ""));
            match name {
                "procs_running" => stat.running = rest.trim().parse().ok(),
                "procs_blocked" => stat.blocked = rest.trim().parse().ok(),
                "cpu" => stat.cpus.push(("cpu-total".to_owned(), CpuTimes::parse(rest))),
                core if core.starts_with("cpu") => stat.cpus.push((core.to_owned(), CpuTimes::parse(rest))),
                _ => {}
            }
        }
        stat
    }

    /// The times of a core by name.
    pub(super) fn cpu(&self, name: &str) -> Option<CpuTimes> {
        self.cpus.iter().find(|(known, _)| known == name).map(|(_, times)| *times)
    }
}

impl CpuTimes {
    fn parse(text: &str) -> CpuTimes {
        let mut numbers = text.split_ascii_whitespace().map(|word| word.parse().unwrap_or(0));
        let mut next = || numbers.next().unwrap_or(0);
        CpuTimes {
            user: next(),
            nice: next(),
            system: next(),
            idle: next(),
            iowait: next(),
            irq: next(),
            softirq: next(),
            steal: next(),
            guest: next(),
            guest_nice: next(),
        }
    }

    fn total(&self) -> u64 {
        self.user + self.nice + self.system + self.idle + self.iowait + self.irq + self.softirq + self.steal
    }

    /// Percent of the time since `earlier` by use, under Telegraf's names; `None` when no tick has passed.
    pub(super) fn usage_since(&self, earlier: &CpuTimes) -> Option<[(&'static str, f64); 11]> {
        let total = self.total().checked_sub(earlier.total()).filter(|ticks| *ticks > 0)? as f64;
        // Counters may step back a little (idle and iowait do on some kernels): that counts as no time.
        let share = |now: u64, then: u64| super::percent(now.saturating_sub(then) as f64, total);
        let host = |times: &CpuTimes| times.user.saturating_sub(times.guest);
        let host_nice = |times: &CpuTimes| times.nice.saturating_sub(times.guest_nice);
        Some([
            ("usage_user", share(host(self), host(earlier))),
            ("usage_nice", share(host_nice(self), host_nice(earlier))),
            ("usage_system", share(self.system, earlier.system)),
            ("usage_idle", share(self.idle, earlier.idle)),
            ("usage_iowait", share(self.iowait, earlier.iowait)),
            ("usage_irq", share(self.irq, earlier.irq)),
            ("usage_softirq", share(self.softirq, earlier.softirq)),
            ("usage_steal", share(self.steal, earlier.steal)),
            ("usage_guest", share(self.guest, earlier.guest)),
            ("usage_guest_nice", share(self.guest_nice, earlier.guest_nice)),
            ("usage_active", super::percent(total - self.idle.saturating_sub(earlier.idle) as f64, total)),
        ])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BEFORE: &str = "cpu  100 0 50 850 0 0 0 0 20 0\ncpu0 100 0 50 850 0 0 0 0 20 0\nintr 1 2 3\nprocs_running 3\nprocs_blocked 1\n";
    const AFTER: &str = "cpu  150 0 70 870 10 0 0 0 40 0\ncpu0 150 0 70 870 10 0 0 0 40 0\nprocs_running 1\n";

    #[test]
    fn usage_is_the_share_between_two_readings() {
        let (before, after) = (ProcStat::parse(BEFORE), ProcStat::parse(AFTER));
        assert_eq!((before.running, before.blocked), (Some(3), Some(1)));
        let then = before.cpu("cpu0").expect("cpu0 is in the text");
        let usage = after.cpu("cpu0").and_then(|now| now.usage_since(&then)).expect("time has passed");
        let of = |name: &str| usage.iter().find(|(known, _)| *known == name).map(|(_, percent)| *percent);
        assert_eq!(of("usage_user"), Some(30.0));
        assert_eq!(of("usage_guest"), Some(20.0));
        assert_eq!(of("usage_system"), Some(20.0));
        assert_eq!(of("usage_idle"), Some(20.0));
        assert_eq!(of("usage_iowait"), Some(10.0));
        assert_eq!(of("usage_active"), Some(80.0));
    }

    #[test]
    fn no_time_or_a_restart_gives_no_usage() {
        let (before, after) = (ProcStat::parse(BEFORE), ProcStat::parse(AFTER));
        let (then, now) = (before.cpus[0].1, after.cpus[0].1);
        assert_eq!(now.usage_since(&now), None);
        assert_eq!(then.usage_since(&now), None);
    }

    #[test]
    fn any_text_is_read_as_far_as_it_is_understood() {
        assert_eq!(ProcStat::parse(""), ProcStat::default());
        assert_eq!(ProcStat::parse("cpu\ncpu0 x y\nprocs_running many").cpus.len(), 2);
    }
}
