//! `plimsoll backup`: asks a running server for a backup, or makes one of a data directory at rest.

use std::path::{Path, PathBuf};

use plimsoll_engine::env::{Clock, SystemClock};
use reqwest::header::CONTENT_TYPE;
use reqwest::redirect::Policy;
use reqwest::{Client, Url};
use serde_json::{Value, json};

use super::verify::Progress;
use super::{BackupArgs, block_on, say};
use crate::agent::chain;
use crate::config::Size;
use crate::{Error, Result, storage};

/// Where the password is taken from: not from the command line, which every process may read.
const PASSWORD: &str = "PLIMSOLL_BACKUP_PASSWORD";

/// What was made.
struct Made {
    files: u64,
    bytes: u64,
    copied_files: u64,
    copied_bytes: u64,
    damages: Vec<String>,
}

pub(super) fn run(args: &BackupArgs, environment: &[(String, String)]) -> Result<()> {
    let made = match &args.data {
        Some(data) => at_rest(data, args)?,
        None => {
            let password = environment.iter().find(|(name, _)| name == PASSWORD).map(|(_, value)| value.as_str());
            block_on(of_server(args, password))?
        }
    };
    tell(&args.to, &made)
}

fn tell(to: &Path, made: &Made) -> Result<()> {
    for damage in &made.damages {
        say(&format!("damaged before it was copied: {damage}"))?;
    }
    let (size, copied_size) = (Size::Bytes(made.bytes), Size::Bytes(made.copied_bytes));
    let copied = match made.copied_files == made.files {
        true => String::new(),
        false => format!(", of which {} files, {copied_size}, are here and the rest in the base", made.copied_files),
    };
    say(&format!("{}: {} files, {size}{copied}", to.display(), made.files))?;
    if made.damages.is_empty() { Ok(()) } else { Err(Error::Reported) }
}

fn at_rest(data: &Path, args: &BackupArgs) -> Result<Made> {
    let mut progress = Progress::new();
    let now_ns = SystemClock.now_ns();
    let report =
        plimsoll_query::back_up_at_rest(data, &absolute(&args.to)?, base(args)?.as_deref(), now_ns, &mut |file| {
            progress.show(file);
        });
    progress.clear();
    let report = report.map_err(|error| match error {
        plimsoll_query::Error::Engine(source @ plimsoll_engine::Error::Locked { .. }) => {
            storage::open_error(data, source)
        }
        other => other.into(),
    })?;
    Ok(Made {
        files: report.files,
        bytes: report.bytes,
        copied_files: report.copied_files,
        copied_bytes: report.copied_bytes,
        damages: report.damages.iter().map(ToString::to_string).collect(),
    })
}

async fn of_server(args: &BackupArgs, password: Option<&str>) -> Result<Made> {
    let server = &args.server;
    let url = Url::parse(server).ok().filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
    let wrong =
        || Error::Usage(format!("--server cannot be {server:?}; it has to be a URL such as http://127.0.0.1:8086"));
    let mut url = url.ok_or_else(wrong)?;
    url.path_segments_mut().map_err(|()| wrong())?.pop_if_empty().extend(["api", "v1", "backup"]);
    // Another part of the process may have chosen one before; any will do.
    let _already_chosen = rustls::crypto::ring::default_provider().install_default();
    let mut builder = Client::builder().no_proxy().redirect(Policy::none());
    if url.scheme() == "http" {
        // The machine's certificates are not needed, and a bare machine has none.
        builder = builder.tls_certs_only([]);
    }
    let client = builder.build().map_err(|e| Error::Internal(format!("cannot set up HTTP: {}", chain(&e))))?;
    let asked = json!({ "to": absolute(&args.to)?, "base": base(args)? });
    let mut request = client.post(url).header(CONTENT_TYPE, "application/json").body(asked.to_string());
    if let Some(user) = &args.user {
        request = request.basic_auth(user, password);
    }
    let failed = |e: reqwest::Error| Error::Internal(format!("the server at {server} does not answer: {}", chain(&e)));
    let answer = request.send().await.map_err(failed)?;
    let status = answer.status();
    let text = answer.text().await.map_err(failed)?;
    let answer: Value = serde_json::from_str(&text).unwrap_or_default();
    if !status.is_success() {
        let why = answer["error"].as_str().unwrap_or(&text);
        let hint = match status.as_u16() {
            401 => format!("; give a superuser by --user, and the password in {PASSWORD}"),
            _ => String::new(),
        };
        return Err(Error::Internal(format!("the server at {server} makes no backup: {why}{hint}")));
    }
    let number = |key: &str| answer[key].as_u64().unwrap_or_default();
    let damages = answer["damages"].as_array().into_iter().flatten();
    Ok(Made {
        files: number("files"),
        bytes: number("bytes"),
        copied_files: number("copied_files"),
        copied_bytes: number("copied_bytes"),
        damages: damages.filter_map(Value::as_str).map(str::to_owned).collect(),
    })
}

fn base(args: &BackupArgs) -> Result<Option<PathBuf>> {
    args.base.as_deref().map(absolute).transpose()
}

/// The server may work in another directory.
fn absolute(path: &Path) -> Result<PathBuf> {
    std::path::absolute(path).map_err(|e| Error::io("find", path, e))
}
