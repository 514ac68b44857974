//! Reads the host and writes it as line protocol, under the names that Telegraf gives and the tag `hostname`.
//!
//! | table | tags besides `hostname` | from |
//! |---|---|---|
//! | `cpu` | `cpu` (`cpu-total`, `cpu0`, ...) | `/proc/stat`; elsewhere sysinfo, without the split |
//! | `mem`, `swap`, `system` | | sysinfo |
//! | `disk` | `path`, `device`, `fstype` | sysinfo |
//! | `net` | `interface` | sysinfo |
//! | `processes` | | `/proc/stat` |

use std::collections::HashSet;
use std::fs;

use sysinfo::{CpuRefreshKind, Disks, MemoryRefreshKind, Networks, RefreshKind, System};

use super::lines::{Field, Lines};
use super::proc_stat::ProcStat;
use Field::{Float, Integer};

/// The host, with the reading that the next one is measured against.
#[derive(Debug)]
pub(super) struct Collector {
    hostname: String,
    system: System,
    disks: Disks,
    networks: Networks,
    stat: Option<ProcStat>,
}

impl Collector {
    /// Takes a first reading. `hostname` overrides what the operating system says.
    pub(super) fn new(hostname: Option<&str>) -> Collector {
        let kind = RefreshKind::nothing()
            .with_memory(MemoryRefreshKind::everything())
            .with_cpu(CpuRefreshKind::nothing().with_cpu_usage());
        let name = hostname.map(str::to_owned).or_else(System::host_name);
        Collector {
            hostname: name.unwrap_or_else(|| "localhost".to_owned()),
            system: System::new_with_specifics(kind),
            disks: Disks::new_with_refreshed_list(),
            networks: Networks::new_with_refreshed_list(),
            stat: read_stat(),
        }
    }

    /// One sample of everything, as lines stamped `time_ns`.
    pub(super) fn collect(&mut self, time_ns: i64) -> String {
        self.system.refresh_memory();
        self.disks.refresh(true);
        self.networks.refresh(true);
        let mut sample = Sample { hostname: &self.hostname, time_ns, lines: Lines::default() };
        match read_stat() {
            Some(stat) => {
                sample.cpu(&stat, self.stat.as_ref());
                sample.processes(&stat);
                self.stat = Some(stat);
            }
            None => {
                self.system.refresh_cpu_usage();
                sample.cpu_without_split(&self.system);
            }
        }
        sample.memory(&self.system);
        sample.disks(&self.disks);
        sample.networks(&self.networks);
        sample.system();
        sample.lines.into_text()
    }
}

fn read_stat() -> Option<ProcStat> {
    let text = fs::read_to_string("/proc/stat").ok()?;
    Some(ProcStat::parse(&text)).filter(|stat| !stat.cpus.is_empty())
}

/// Lines of one moment.
struct Sample<'a> {
    hostname: &'a str,
    time_ns: i64,
    lines: Lines,
}

impl Sample<'_> {
    fn add(&mut self, table: &str, tags: &[(&str, &str)], fields: &[(&str, Field)]) {
        let mut all = vec![("hostname", self.hostname)];
        all.extend_from_slice(tags);
        self.lines.add(table, &all, fields, self.time_ns);
    }

    fn cpu(&mut self, now: &ProcStat, before: Option<&ProcStat>) {
        for (name, times) in &now.cpus {
            let usage = before.and_then(|before| times.usage_since(&before.cpu(name)?));
            if let Some(usage) = usage {
                self.add("cpu", &[("cpu", name)], &usage.map(|(field, percent)| (field, Float(percent))));
            }
        }
    }

    fn cpu_without_split(&mut self, system: &System) {
        let cores = system.cpus().iter().map(|core| (core.name(), core.cpu_usage()));
        for (name, percent) in cores.chain([("cpu-total", system.global_cpu_usage())]) {
            let active = f64::from(percent);
            self.add(
                "cpu",
                &[("cpu", name)],
                &[("usage_active", Float(active)), ("usage_idle", Float(100.0 - active))],
            );
        }
    }

    fn processes(&mut self, stat: &ProcStat) {
        let counts = [("running", stat.running), ("blocked", stat.blocked)];
        let fields: Vec<_> = counts.iter().filter_map(|(name, count)| Some((*name, Integer((*count)?)))).collect();
        self.add("processes", &[], &fields);
    }

    fn memory(&mut self, system: &System) {
        let (total, used, available) = (system.total_memory(), system.used_memory(), system.available_memory());
        let mem = [
            ("total", Integer(total)),
            ("used", Integer(used)),
            ("free", Integer(system.free_memory())),
            ("available", Integer(available)),
            ("used_percent", percent(used, total)),
            ("available_percent", percent(available, total)),
        ];
        self.add("mem", &[], &mem);
        let (total, used) = (system.total_swap(), system.used_swap());
        let swap = [
            ("total", Integer(total)),
            ("used", Integer(used)),
            ("free", Integer(system.free_swap())),
            ("used_percent", if total == 0 { Float(0.0) } else { percent(used, total) }),
        ];
        self.add("swap", &[], &swap);
    }

    /// A device that is mounted in several places counts once, where it is mounted first.
    fn disks(&mut self, disks: &Disks) {
        let mut seen = HashSet::new();
        for disk in disks.list() {
            let (total, free) = (disk.total_space(), disk.available_space());
            if total == 0 || !seen.insert(disk.name()) {
                continue;
            }
            let used = total.saturating_sub(free);
            let device = disk.name().to_string_lossy();
            let tags = [
                ("path", disk.mount_point().to_string_lossy()),
                ("device", device.trim_start_matches("/dev/").into()),
                ("fstype", disk.file_system().to_string_lossy()),
            ];
            let tags: Vec<(&str, &str)> = tags.iter().map(|(name, value)| (*name, &**value)).collect();
            let fields = [
                ("total", Integer(total)),
                ("used", Integer(used)),
                ("free", Integer(free)),
                ("used_percent", percent(used, total)),
            ];
            self.add("disk", &tags, &fields);
        }
    }

    fn networks(&mut self, networks: &Networks) {
        let mut interfaces: Vec<_> = networks.list().iter().collect();
        interfaces.sort_by_key(|(name, _)| *name);
        for (name, seen) in interfaces {
            let fields = [
                ("bytes_sent", Integer(seen.total_transmitted())),
                ("bytes_recv", Integer(seen.total_received())),
                ("packets_sent", Integer(seen.total_packets_transmitted())),
                ("packets_recv", Integer(seen.total_packets_received())),
                ("err_in", Integer(seen.total_errors_on_received())),
                ("err_out", Integer(seen.total_errors_on_transmitted())),
            ];
            self.add("net", &[("interface", name)], &fields);
        }
    }

    fn system(&mut self) {
        let load = System::load_average();
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let fields = [
            ("load1", Float(load.one)),
            ("load5", Float(load.five)),
            ("load15", Float(load.fifteen)),
            ("n_cpus", Integer(cores as u64)),
            ("uptime", Integer(System::uptime())),
        ];
        self.add("system", &[], &fields);
    }
}

fn percent(part: u64, whole: u64) -> Field {
    Float(super::percent(part as f64, whole as f64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_has_every_table_and_its_own_time() {
        let text = Collector::new(Some("my host")).collect(1_700_000_000_000_000_000);
        for table in ["mem", "swap", "net", "system"] {
            let start = format!("{table},hostname=my\\ host");
            assert!(text.lines().any(|line| line.starts_with(&start)), "no {table} in:\n{text}");
        }
        assert!(text.lines().all(|line| line.ends_with(" 1700000000000000000")), "{text}");
    }

    #[test]
    fn cpu_lines_name_the_core() {
        let before = ProcStat::parse("cpu 0 0 0 0\ncpu0 0 0 0 0");
        let now = ProcStat::parse("cpu 1 0 0 3\ncpu0 1 0 0 3\ncpu1 1 0 0 3");
        let mut sample = Sample { hostname: "h", time_ns: 5, lines: Lines::default() };
        sample.cpu(&now, Some(&before));
        let text = sample.lines.into_text();
        assert_eq!(text.lines().count(), 2, "a core without an earlier reading is left out: {text}");
        assert!(text.starts_with("cpu,hostname=h,cpu=cpu-total usage_user=25,usage_nice=0,"), "{text}");
    }
}
