//! Writes line protocol: names escaped, values in the form of their type.

use std::fmt::Write;

/// A value of a field.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Field {
    Float(f64),
    Integer(u64),
}

/// Lines under construction.
#[derive(Debug, Default)]
pub(super) struct Lines {
    text: String,
}

impl Lines {
    /// Adds a line. Tags without a value and fields without a number are left out; a line without a field is none.
    pub(super) fn add(&mut self, table: &str, tags: &[(&str, &str)], fields: &[(&str, Field)], time_ns: i64) {
        let start = self.text.len();
        push_escaped(&mut self.text, table, &[',', ' ']);
        for (name, value) in tags {
            let value = value.trim_end_matches('\\');
            if !value.is_empty() {
                self.text.push(',');
                push_escaped(&mut self.text, name, &[',', '=', ' ']);
                self.text.push('=');
                push_escaped(&mut self.text, value, &[',', '=', ' ']);
            }
        }
        if !self.push_fields(fields) {
            self.text.truncate(start);
            return;
        }
        let _never_fails = writeln!(self.text, " {time_ns}");
    }

    fn push_fields(&mut self, fields: &[(&str, Field)]) -> bool {
        let mut separator = ' ';
        for (name, value) in fields {
            let value = match *value {
                Field::Float(float) if float.is_finite() => format!("{float}"),
                Field::Integer(integer) => format!("{}i", i64::try_from(integer).unwrap_or(i64::MAX)),
                Field::Float(_) => continue,
            };
            self.text.push(separator);
            push_escaped(&mut self.text, name, &[',', '=', ' ']);
            self.text.push('=');
            self.text.push_str(&value);
            separator = ',';
        }
        separator == ','
    }

    pub(super) fn into_text(self) -> String {
        self.text
    }
}

/// Line protocol has no escape for a line break in a name or a tag: it becomes a space.
fn push_escaped(out: &mut String, text: &str, special: &[char]) {
    for c in text.chars() {
        let c = if c.is_control() { ' ' } else { c };
        if special.contains(&c) {
            out.push('\\');
        }
        out.push(c);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(table: &str, tags: &[(&str, &str)], fields: &[(&str, Field)]) -> String {
        let mut lines = Lines::default();
        lines.add(table, tags, fields, -1);
        lines.into_text()
    }

    #[test]
    fn names_and_values_are_escaped() {
        let found =
            line("my table", &[("a=b", "c,d e=f"), ("none", ""), ("path", "C:\\")], &[("x y", Field::Integer(7))]);
        assert_eq!(found, "my\\ table,a\\=b=c\\,d\\ e\\=f,path=C: x\\ y=7i -1\n");
        assert_eq!(line("t", &[("a", "one\ntwo")], &[("f", Field::Float(0.5))]), "t,a=one\\ two f=0.5 -1\n");
    }

    #[test]
    fn what_is_no_number_is_left_out() {
        let fields = [("a", Field::Float(f64::NAN)), ("b", Field::Float(1e300)), ("c", Field::Integer(u64::MAX))];
        let big = format!("{}", 1e300);
        assert_eq!(line("t", &[], &fields), format!("t b={big},c=9223372036854775807i -1\n"));
        assert_eq!(line("t", &[], &[("a", Field::Float(f64::INFINITY))]), "");
    }
}
