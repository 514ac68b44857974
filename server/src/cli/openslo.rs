//! `plimsoll openslo`: service level objectives as OpenSLO's YAML, into a server and out of it.

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, Read as _, Write as _};
use std::path::Path;

use plimsoll_query::{quoted, text_literal};
use tokio_postgres::{Client, NoTls, SimpleQueryMessage, SimpleQueryRow};

use super::{OpensloArgs, OpensloCommand, OpensloExportArgs, OpensloImportArgs, block_on, say};
use crate::openslo::{Existing, Finding, Translated, export, import};
use crate::{Error, Result};

pub(super) fn run(args: OpensloArgs) -> Result<()> {
    match args.command {
        OpensloCommand::Import(args) => run_import(&args),
        OpensloCommand::Export(args) => block_on(run_export(args)),
    }
}

fn run_import(args: &OpensloImportArgs) -> Result<()> {
    let files = args.files.iter().map(|file| Ok((file.display().to_string(), read(file)?)));
    let translated = import(&files.collect::<Result<Vec<_>>>()?);
    tell(&translated.findings);
    let is_complete = !translated.findings.iter().any(|finding| finding.is_left_out);
    if args.to_sql {
        for made in &translated.statements {
            say(&format!("{};", made.text))?;
        }
    } else if is_complete || args.skip || args.dry_run {
        block_on(carry_out(args, &translated))?;
    } else {
        tell_line("nothing was changed: with --skip the rest is imported");
    }
    if is_complete || args.skip { Ok(()) } else { Err(Error::Reported) }
}

fn read(file: &Path) -> Result<String> {
    let mut text = String::new();
    let text = match file.to_str() {
        Some("-") => io::stdin().read_to_string(&mut text).map(|_| text),
        _ => fs::read_to_string(file),
    };
    text.map_err(|source| Error::io("cannot read", file, source))
}

/// Runs the statements on a server, and tells what was made and what was replaced.
async fn carry_out(args: &OpensloImportArgs, translated: &Translated) -> Result<()> {
    let client = connect(&args.server).await?;
    let rows = rows(&client, "SELECT kind, name FROM sys.objects").await?;
    let known: BTreeSet<(String, String)> = rows.iter().map(|row| (text(row, 0), text(row, 1))).collect();
    let (mut made, mut replaced, mut failed) = (0, 0, 0);
    for statement in &translated.statements {
        let is_known = known.contains(&(statement.kind.to_owned(), statement.name.clone()));
        let (word, count) = match is_known {
            true if statement.text.starts_with("CREATE OR REPLACE") => ("replaced", &mut replaced),
            true => ("kept", &mut 0),
            false => ("made", &mut made),
        };
        if !args.dry_run
            && let Err(error) = client.batch_execute(&statement.text).await
        {
            failed += 1;
            let (kind, name) = (statement.kind, &statement.name);
            tell_line(&format!("failed: {}: {kind} {name}: {}", statement.place, reason(&error)));
            if !args.skip {
                break;
            }
        } else if statement.kind != "comment" {
            *count += 1;
            say(&format!("{word} {} {}", statement.kind, statement.name))?;
        }
    }
    let left = translated.findings.iter().filter(|finding| finding.is_left_out).count();
    let ending = if args.dry_run { "; a dry run: nothing was changed" } else { "" };
    say(&format!("{made} made, {replaced} replaced, {left} left out, {failed} failed{ending}"))?;
    if failed > 0 && !args.skip { Err(Error::Reported) } else { Ok(()) }
}

async fn run_export(args: OpensloExportArgs) -> Result<()> {
    let client = connect(&args.server).await?;
    let mut existing = Vec::new();
    for row in rows(&client, "SELECT kind, name, definition, comment FROM sys.objects ORDER BY kind, name").await? {
        let is_ratio = text(&row, 0) == "kpi" && has_good(&client, &text(&row, 1)).await?;
        let comment = row.get(3).map(str::to_owned);
        existing.push(Existing { definition: text(&row, 2), comment, is_ratio });
    }
    let (yaml, findings) = export(&existing, &args.names);
    tell(&findings);
    match &args.out {
        Some(file) => fs::write(file, yaml).map_err(|source| Error::io("cannot write", file, source)),
        None => say(yaml.trim_end()),
    }
}

/// Whether the rows of a KPI count good events.
async fn has_good(client: &Client, kpi: &str) -> Result<bool> {
    let found = client.prepare(&format!("SELECT * FROM kpi.{}", quoted(kpi))).await;
    let statement = found.map_err(|error| Error::Internal(format!("kpi {}: {}", text_literal(kpi), reason(&error))))?;
    Ok(statement.columns().iter().any(|column| column.name() == "good"))
}

async fn connect(server: &str) -> Result<Client> {
    let connected = tokio_postgres::connect(server, NoTls).await;
    let refused = |error| Error::Usage(format!("cannot ask the server at '{server}': {}", reason(&error)));
    let (client, connection) = connected.map_err(refused)?;
    // It ends with the client.
    tokio::spawn(connection);
    Ok(client)
}

async fn rows(client: &Client, query: &str) -> Result<Vec<SimpleQueryRow>> {
    let answer = client.simple_query(query).await.map_err(|error| Error::Internal(reason(&error)))?;
    let row = |message| if let SimpleQueryMessage::Row(row) = message { Some(row) } else { None };
    Ok(answer.into_iter().filter_map(row).collect())
}

fn text(row: &SimpleQueryRow, column: usize) -> String {
    row.get(column).unwrap_or_default().to_owned()
}

/// What the server said, with its hint, or why it was not asked.
fn reason(error: &tokio_postgres::Error) -> String {
    match (error.as_db_error(), std::error::Error::source(error)) {
        (Some(said), _) => {
            let hint = said.hint().map(|hint| format!(" ({hint})")).unwrap_or_default();
            format!("{}{hint}", said.message())
        }
        (None, Some(cause)) => format!("{error}: {cause}"),
        (None, None) => error.to_string(),
    }
}

fn tell(findings: &[Finding]) {
    findings.iter().for_each(|finding| tell_line(&finding.to_string()));
}

fn tell_line(line: &str) {
    let _nowhere_to_say_it = writeln!(io::stderr(), "{line}");
}
