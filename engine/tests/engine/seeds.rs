//! Which seeds run, how a failure names its own, and how its history is made shorter.

use std::panic::{AssertUnwindSafe, catch_unwind};

/// Factor of the long form.
const LONG: u64 = 50;

/// Runs `test` on `count` seeds, or on the one in `SEED`.
pub(crate) fn for_seeds(count: u64, test: impl Fn(u64) -> Result<(), String>) {
    let variable = |name| std::env::var(name).ok().and_then(|value: String| value.parse::<u64>().ok());
    let seeds = match variable("SEED") {
        Some(seed) => seed..seed + 1,
        None if variable("PLIMSOLL_LONG").is_some() => 0..count * LONG,
        None => 0..count,
    };
    for seed in seeds {
        if let Err(why) = caught(|| test(seed)) {
            panic!("SEED={seed}: {why}");
        }
    }
}

/// The result of a test; a panic is a failure too.
pub(crate) fn caught(test: impl FnOnce() -> Result<(), String>) -> Result<(), String> {
    catch_unwind(AssertUnwindSafe(test)).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        Err(format!("panic: {}", text.or(panic.downcast_ref::<&str>().copied()).unwrap_or("without text")))
    })
}

/// Leaves out steps for as long as the rest still fails, and tells the failure of what remains.
pub(crate) fn shortest<S: Clone + std::fmt::Debug>(
    mut steps: Vec<S>,
    test: impl Fn(&[S]) -> Result<(), String>,
) -> Result<(), String> {
    let Err(mut why) = caught(|| test(&steps)) else { return Ok(()) };
    let mut piece = steps.len().div_ceil(2);
    while piece > 0 {
        let mut at = 0;
        while at < steps.len() {
            let end = (at + piece).min(steps.len());
            let fewer = [&steps[..at], &steps[end..]].concat();
            match caught(|| test(&fewer)) {
                Err(still) => (steps, why) = (fewer, still),
                Ok(()) => at = end,
            }
        }
        piece /= 2;
    }
    let list: Vec<String> = steps.iter().map(|step| format!("  {step:?}")).collect();
    Err(format!("{why}\nafter\n{}", list.join("\n")))
}
