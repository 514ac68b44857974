//! The shell of `plimsoll sql`: statements over several lines until a semicolon, history, and psql's commonest commands.

use std::io::{self, Write};
use std::path::PathBuf;
use std::time::Instant;

use rustyline::DefaultEditor;
use rustyline::error::ReadlineError;

use super::{Asked, describe};
use crate::{Error, Result};

const HELP: &str = "\
Statements end with a semicolon and may go over several lines.
  \\d           the tables
  \\d NAME      the columns of a table
  \\timing      show how long each statement takes, or no longer
  \\?           this help
  \\q           leave (also Ctrl-D)
Ctrl-C gives up the statement that is being typed or run.";

/// Reads and answers until the end.
pub(super) fn run(asked: &Asked) -> Result<()> {
    let mut editor = DefaultEditor::new().map_err(|e| Error::Internal(format!("cannot use the terminal: {e}")))?;
    let history = std::env::home_dir().map(|home| home.join(".plimsoll_history"));
    let _none_yet = history.as_ref().map(|file| editor.load_history(file));
    let mut shell = Shell { asked, pending: String::new(), timing: false };
    say(&format!("plimsoll {}: {}. \\? for help.", env!("CARGO_PKG_VERSION"), asked.engine.dir().display()))?;
    let outcome = shell.read(&mut editor);
    save(&mut editor, history);
    outcome
}

fn save(editor: &mut DefaultEditor, history: Option<PathBuf>) {
    if let Some(file) = history
        && let Err(error) = editor.save_history(&file)
    {
        tracing::debug!(file = %file.display(), %error, "the history is not kept");
    }
}

struct Shell<'a> {
    asked: &'a Asked,
    /// Lines of a statement whose end has not been typed.
    pending: String,
    timing: bool,
}

impl Shell<'_> {
    fn read(&mut self, editor: &mut DefaultEditor) -> Result<()> {
        loop {
            let prompt = if self.pending.is_empty() { "plimsoll=> " } else { "plimsoll-> " };
            match editor.readline(prompt) {
                Ok(line) => {
                    if !self.take(&line, editor)? {
                        return Ok(());
                    }
                }
                Err(ReadlineError::Interrupted) => self.pending.clear(),
                Err(ReadlineError::Eof) => return Ok(()),
                Err(error) => return Err(Error::Internal(format!("cannot read the terminal: {error}"))),
            }
        }
    }

    /// Takes a line; false means leave.
    fn take(&mut self, line: &str, editor: &mut DefaultEditor) -> Result<bool> {
        if self.pending.is_empty() && line.trim_start().starts_with('\\') {
            let _not_kept = editor.add_history_entry(line.trim());
            return self.command(line.trim());
        }
        self.pending.push_str(line);
        self.pending.push('\n');
        if ends(&self.pending) {
            let text = std::mem::take(&mut self.pending);
            let _not_kept = editor.add_history_entry(text.trim());
            self.answer(&text)?;
        } else if self.pending.trim().is_empty() {
            self.pending.clear();
        }
        Ok(true)
    }

    fn answer(&self, text: &str) -> Result<()> {
        let started = Instant::now();
        let printed = self.asked.runtime.block_on(async {
            tokio::select! {
                printed = self.asked.print(text) => printed,
                _ = tokio::signal::ctrl_c() => say("Cancelled."),
            }
        });
        match printed {
            Ok(()) | Err(Error::Reported) => {}
            Err(error) => return Err(error),
        }
        if self.timing {
            say(&format!("Time: {:.3} ms", started.elapsed().as_secs_f64() * 1e3))?;
        }
        Ok(())
    }

    fn command(&mut self, line: &str) -> Result<bool> {
        let (name, rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
        match (name, rest.trim().trim_end_matches(';')) {
            ("\\q" | "\\quit", _) => return Ok(false),
            ("\\?" | "\\h" | "\\help", _) => say(HELP)?,
            ("\\timing", _) => {
                self.timing = !self.timing;
                say(if self.timing { "Timing is on." } else { "Timing is off." })?;
            }
            ("\\d" | "\\dt", "") => {
                describe::tables(&self.asked.engine, &mut io::stdout().lock()).map_err(Error::Output)?;
            }
            ("\\d", table) => self.describe(table)?,
            _ => say(&format!("invalid command {name}; \\? for help"))?,
        }
        Ok(true)
    }

    fn describe(&self, name: &str) -> Result<()> {
        let name = name.trim_matches('"');
        match self.asked.engine.table(name) {
            Some(table) => describe::table(&table, &mut io::stdout().lock()).map_err(Error::Output),
            None => say(&format!("Did not find any table named \"{name}\".")),
        }
    }
}

fn say(text: &str) -> Result<()> {
    writeln!(io::stdout().lock(), "{text}").map_err(Error::Output)
}

/// What the text is in the middle of.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Inside {
    Statement,
    Quotes(char),
    LineComment,
    /// Comments nest.
    Comment(usize),
}

/// Whether the last thing typed, but for comments and space, is a semicolon that is not inside of something.
fn ends(text: &str) -> bool {
    let (mut inside, mut ended) = (Inside::Statement, false);
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        let next = chars.peek().copied();
        inside = match (&inside, c, next) {
            (Inside::Statement, '\'' | '"', _) => Inside::Quotes(c),
            (Inside::Statement, '-', Some('-')) => Inside::LineComment,
            (Inside::Statement, '/', Some('*')) => {
                chars.next();
                Inside::Comment(1)
            }
            (Inside::Statement, _, _) => {
                ended = c == ';' || (ended && c.is_whitespace());
                continue;
            }
            (Inside::Quotes(quote), _, _) if c == *quote => Inside::Statement,
            (Inside::LineComment, '\n', _) => Inside::Statement,
            (Inside::Comment(depth), '/', Some('*')) => {
                chars.next();
                Inside::Comment(depth + 1)
            }
            (Inside::Comment(depth), '*', Some('/')) => {
                chars.next();
                if *depth == 1 { Inside::Statement } else { Inside::Comment(depth - 1) }
            }
            _ => continue,
        };
        ended &= !matches!(inside, Inside::Quotes(_));
    }
    ended && !matches!(inside, Inside::Quotes(_) | Inside::Comment(_))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_statement_ends_with_a_semicolon_of_its_own() {
        for text in [
            "SELECT 1;\n",
            "SELECT ';';",
            "a; b ;  \n",
            "SELECT 1; -- done\n",
            "SELECT 1; /* ; */\n",
            "SELECT 'it''s';",
            ";",
        ] {
            assert!(ends(text), "{text}");
        }
        for text in [
            "",
            "SELECT 1\n",
            "SELECT ';'\n",
            "SELECT ';",
            "SELECT 1 -- ;\n",
            "SELECT /* ; /* */ 1;",
            "SELECT 1; SELECT 2\n",
            "\"a;",
        ] {
            assert!(!ends(text), "{text}");
        }
    }
}
