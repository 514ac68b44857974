//! The `plimsoll` binary: hands its arguments to [`plimsoll::cli`], and exits with what comes back.

use std::process::ExitCode;

fn main() -> ExitCode {
    let environment = std::env::vars_os();
    let environment =
        environment.filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
    plimsoll::cli::run(std::env::args_os(), environment.collect())
}
