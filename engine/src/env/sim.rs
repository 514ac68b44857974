//! Simulated files and time, where a seed is a whole history.
