//! Plain maths over times and numbers: what is normal, what was promised, when somebody is at work. No input or output, and time
//! is an argument: instants are nanoseconds since the Unix epoch.

pub(crate) mod anomaly;
pub(crate) mod backtest;
pub(crate) mod calendar;
pub(crate) mod duration;
pub(crate) mod intervals;
pub(crate) mod period;
pub(crate) mod recurrence;
pub(crate) mod robust;
pub(crate) mod sla;
pub(crate) mod sli;
