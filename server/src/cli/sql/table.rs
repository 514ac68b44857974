//! An aligned table, in psql's form.
//!
//! The first rows are held back to learn how wide the columns are; later rows are printed as they come, so that an answer of
//! any length needs little memory.

use std::io::{self, Write};

use unicode_width::UnicodeWidthStr;

use super::print::{Cell, Heading};
use super::values::Kind;

/// Rows that are held back.
const MEASURED_ROWS: usize = 1_000;

pub(super) struct Table {
    columns: Vec<Column>,
    held: Vec<Vec<Cell>>,
    headed: bool,
}

struct Column {
    name: String,
    right: bool,
    width: usize,
}

impl Table {
    pub(super) fn new(headings: &[Heading]) -> Table {
        let column = |heading: &Heading| Column {
            name: heading.name.clone(),
            right: heading.kind == Kind::Number,
            width: widest(&heading.name),
        };
        Table { columns: headings.iter().map(column).collect(), held: Vec::new(), headed: false }
    }

    /// Takes a row; `out` gets it once the widths are known.
    pub(super) fn push(&mut self, row: Vec<Cell>, out: &mut impl Write) -> io::Result<()> {
        if self.headed {
            return put_row(&self.columns, &row, out);
        }
        for (column, cell) in self.columns.iter_mut().zip(&row) {
            column.width = column.width.max(cell.as_deref().map_or(0, widest));
        }
        self.held.push(row);
        if self.held.len() == MEASURED_ROWS { self.release(out) } else { Ok(()) }
    }

    /// Prints what is held back, and how many rows there were.
    pub(super) fn finish(mut self, rows: u64, out: &mut impl Write) -> io::Result<()> {
        if !self.headed {
            self.release(out)?;
        }
        writeln!(out, "({rows} row{})\n", if rows == 1 { "" } else { "s" })
    }

    fn release(&mut self, out: &mut impl Write) -> io::Result<()> {
        self.headed = true;
        let names: Vec<String> = self.columns.iter().map(|column| centred(&column.name, column.width)).collect();
        writeln!(out, " {} ", names.join(" | "))?;
        let lines: Vec<String> = self.columns.iter().map(|column| "-".repeat(column.width + 2)).collect();
        writeln!(out, "{}", lines.join("+"))?;
        for row in std::mem::take(&mut self.held) {
            put_row(&self.columns, &row, out)?;
        }
        Ok(())
    }
}

/// A row has as many lines as its highest cell; `+` marks a cell that goes on below.
fn put_row(columns: &[Column], row: &[Cell], out: &mut impl Write) -> io::Result<()> {
    let cells: Vec<Vec<&str>> =
        row.iter().map(|cell| cell.as_deref().unwrap_or_default().split('\n').collect()).collect();
    let height = cells.iter().map(Vec::len).max().unwrap_or(1);
    for line in 0..height {
        for (at, (column, cell)) in columns.iter().zip(&cells).enumerate() {
            let text = cell.get(line).copied().unwrap_or_default();
            let goes_on = line + 1 < cell.len();
            let last = at + 1 == columns.len() && !goes_on;
            let fill = " ".repeat(column.width.saturating_sub(text.width()));
            let (before, after) = if column.right { (fill.as_str(), "") } else { ("", fill.as_str()) };
            // As in psql, nothing follows the text of the last column.
            let after = if last { "" } else { after };
            write!(out, "{}{before}{text}{after}", if at == 0 { " " } else { "| " })?;
            out.write_all(if goes_on {
                b"+"
            } else if last {
                b""
            } else {
                b" "
            })?;
        }
        out.write_all(b"\n")?;
    }
    Ok(())
}

fn centred(text: &str, width: usize) -> String {
    let free = width.saturating_sub(text.width());
    format!("{}{text}{}", " ".repeat(free / 2), " ".repeat(free - free / 2))
}

/// Cells of a terminal that the widest line takes.
fn widest(text: &str) -> usize {
    text.split('\n').map(UnicodeWidthStr::width).max().unwrap_or(0)
}
