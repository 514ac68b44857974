//! How rows are printed: as a table for people, as CSV or JSON for programs.

use std::io::{self, Write};

use super::table::Table;
use super::values::Kind;

/// The form of the rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(in crate::cli) enum Format {
    /// Aligned, with the number of rows, as psql prints it.
    Table,
    /// As PostgreSQL's COPY writes it: a header, NULL is empty and the empty text is `""`.
    Csv,
    /// An array with an object per row.
    Json,
}

/// One value, as text; `None` is NULL.
pub(super) type Cell = Option<String>;

/// A column's name and what its values are.
#[derive(Debug, Clone)]
pub(super) struct Heading {
    pub(super) name: String,
    pub(super) kind: Kind,
}

impl Heading {
    pub(super) fn new(name: &str, kind: Kind) -> Heading {
        Heading { name: name.to_owned(), kind }
    }
}

/// Prints the rows of one statement.
pub(super) struct Printer<'a, W: Write> {
    form: Form,
    headings: Vec<Heading>,
    rows: u64,
    out: &'a mut W,
}

enum Form {
    Table(Table),
    Csv,
    Json,
}

impl<'a, W: Write> Printer<'a, W> {
    pub(super) fn new(format: Format, headings: Vec<Heading>, out: &'a mut W) -> Printer<'a, W> {
        let form = match format {
            Format::Table => Form::Table(Table::new(&headings)),
            Format::Csv => Form::Csv,
            Format::Json => Form::Json,
        };
        Printer { form, headings, rows: 0, out }
    }

    /// Prints a row, or holds it back until the width of its column is known.
    pub(super) fn push(&mut self, row: Vec<Cell>) -> io::Result<()> {
        match &mut self.form {
            Form::Table(table) => table.push(row, self.out)?,
            Form::Csv => {
                if self.rows == 0 {
                    put_csv_header(&self.headings, self.out)?;
                }
                put_csv(&row, self.out)?;
            }
            Form::Json => {
                self.out.write_all(if self.rows == 0 { b"[\n" } else { b",\n" })?;
                put_json(&self.headings, &row, self.out)?;
            }
        }
        self.rows += 1;
        Ok(())
    }

    /// Prints what is held back, and the end.
    pub(super) fn finish(self) -> io::Result<()> {
        match self.form {
            Form::Table(table) => table.finish(self.rows, self.out),
            Form::Csv if self.rows == 0 => put_csv_header(&self.headings, self.out),
            Form::Csv => Ok(()),
            Form::Json => self.out.write_all(if self.rows == 0 { b"[]\n" } else { b"\n]\n" }),
        }
    }
}

fn put_csv_header(headings: &[Heading], out: &mut impl Write) -> io::Result<()> {
    let names: Vec<Cell> = headings.iter().map(|heading| Some(heading.name.clone())).collect();
    put_csv(&names, out)
}

fn put_csv(row: &[Cell], out: &mut impl Write) -> io::Result<()> {
    for (at, cell) in row.iter().enumerate() {
        if at > 0 {
            out.write_all(b",")?;
        }
        match cell {
            None => {}
            Some(text) if text.is_empty() || text.contains([',', '"', '\n', '\r']) => {
                write!(out, "\"{}\"", text.replace('"', "\"\""))?;
            }
            Some(text) => out.write_all(text.as_bytes())?,
        }
    }
    out.write_all(b"\n")
}

fn put_json(headings: &[Heading], row: &[Cell], out: &mut impl Write) -> io::Result<()> {
    for (at, (heading, cell)) in headings.iter().zip(row).enumerate() {
        let name = serde_json::to_string(&heading.name)?;
        write!(out, "{}{name}: {}", if at == 0 { "  {" } else { ", " }, json(heading.kind, cell.as_deref())?)?;
    }
    out.write_all(if row.is_empty() { b"  {}" } else { b"}" })
}

/// JSON has no word for NaN and infinity: they are strings, as in PostgreSQL's `to_json`.
fn json(kind: Kind, cell: Option<&str>) -> io::Result<String> {
    Ok(match (kind, cell) {
        (_, None) => "null".to_owned(),
        (Kind::Boolean, Some(text)) => (text == "t").to_string(),
        (Kind::Number, Some(text)) if text.ends_with(|c: char| c.is_ascii_digit()) => text.to_owned(),
        (_, Some(text)) => serde_json::to_string(text)?,
    })
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::*;

    fn check(format: Format, rows: &[[Option<&str>; 3]], wanted: &Expect) {
        let kinds = [("name", Kind::Text), ("n", Kind::Number), ("ok", Kind::Boolean)];
        let headings = kinds.map(|(name, kind)| Heading::new(name, kind)).to_vec();
        let mut out = Vec::new();
        let mut printer = Printer::new(format, headings, &mut out);
        for row in rows {
            printer.push(row.iter().map(|cell| cell.map(str::to_owned)).collect()).expect("memory takes it");
        }
        printer.finish().expect("memory takes it");
        wanted.assert_eq(&String::from_utf8(out).expect("text"));
    }

    const ROWS: [[Option<&str>; 3]; 3] = [
        [Some("a, \"b\""), Some("1.5"), Some("t")],
        [Some(""), Some("-Infinity"), Some("f")],
        [None, Some("1e-05"), None],
    ];

    #[test]
    fn csv() {
        check(
            Format::Csv,
            &ROWS,
            &expect![[r#"
                name,n,ok
                "a, ""b""",1.5,t
                "",-Infinity,f
                ,1e-05,
            "#]],
        );
        check(Format::Csv, &[], &expect![["name,n,ok\n"]]);
    }

    #[test]
    fn json_rows() {
        check(
            Format::Json,
            &ROWS,
            &expect![[r#"
                [
                  {"name": "a, \"b\"", "n": 1.5, "ok": true},
                  {"name": "", "n": "-Infinity", "ok": false},
                  {"name": null, "n": 1e-05, "ok": null}
                ]
            "#]],
        );
        check(Format::Json, &[], &expect![["[]\n"]]);
    }

    #[test]
    fn tables() {
        check(
            Format::Table,
            &ROWS,
            &expect![[r#"
                  name  |     n     | ok 
                --------+-----------+----
                 a, "b" |       1.5 | t
                        | -Infinity | f
                        |     1e-05 | 
                (3 rows)

            "#]],
        );
        check(
            Format::Table,
            &[],
            &expect![[r#"
                 name | n | ok 
                ------+---+----
                (0 rows)

            "#]],
        );
    }

    #[test]
    fn a_value_of_several_lines_keeps_its_column() {
        check(
            Format::Table,
            &[[Some("one\ntwo é"), Some("1"), Some("t")]],
            &expect![[r#"
                 name  | n | ok 
                -------+---+----
                 one  +| 1 | t
                 two é |   | 
                (1 row)

            "#]],
        );
    }
}
