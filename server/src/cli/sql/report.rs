//! An error as psql shows it: the message, the line with a caret below the place, the hint.

use plimsoll_query::Error;

/// Most characters of the line that are shown.
const SHOWN: usize = 76;

/// The report for an error in `text`.
pub(super) fn report(text: &str, error: &Error) -> String {
    let mut lines = vec![format!("ERROR:  {error}")];
    lines.extend(error.position().and_then(|position| pointed(text, position)));
    lines.extend(error.hint().map(|hint| format!("HINT:  {hint}")));
    lines.join("\n")
}

/// The line that holds the character at `position` (counted from 1 over the whole text), and a caret below it.
fn pointed(text: &str, position: usize) -> Option<String> {
    let before: String = text.chars().take(position.checked_sub(1)?).collect();
    if before.chars().count() + 1 != position {
        return None;
    }
    let number = before.matches('\n').count() + 1;
    let column = before.chars().rev().take_while(|c| *c != '\n').count();
    let line: Vec<char> = text.lines().nth(number - 1).unwrap_or_default().chars().collect();
    let start = if column < SHOWN { 0 } else { column - SHOWN / 2 };
    let end = line.len().min(start + SHOWN);
    let cut = |is_cut| if is_cut { "..." } else { "" };
    let label = format!("LINE {number}: {}", cut(start > 0));
    let shown: String = line.get(start..end)?.iter().map(|c| if *c == '\t' { ' ' } else { *c }).collect();
    let indent = " ".repeat(label.len() + column - start);
    Some(format!("{label}{shown}{}\n{indent}^", cut(end < line.len())))
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::*;

    fn check(text: &str, position: usize, wanted: &Expect) {
        let error = Error::UndefinedColumn {
            name: "usge".to_owned(),
            position: Some(position),
            hint: Some("Perhaps you meant usage.".to_owned()),
        };
        wanted.assert_eq(&report(text, &error));
    }

    #[test]
    fn the_caret_is_below_the_place() {
        check(
            "SELECT usge FROM cpu",
            8,
            &expect![[r#"
                ERROR:  column "usge" does not exist
                LINE 1: SELECT usge FROM cpu
                               ^
                HINT:  Perhaps you meant usage."#]],
        );
        check(
            "SELECT 'é',\n\tusge\nFROM cpu",
            14,
            &expect![[r#"
                ERROR:  column "usge" does not exist
                LINE 2:  usge
                         ^
                HINT:  Perhaps you meant usage."#]],
        );
    }

    #[test]
    fn a_long_line_is_cut_around_the_place() {
        let text = format!("SELECT {}, usge, {} FROM cpu", "a".repeat(100), "b".repeat(100));
        let found = pointed(&text, 110).expect("the position is in the text");
        let (line, caret) = found.split_once('\n').expect("two lines");
        assert_eq!(line.chars().nth(caret.len() - 1), Some('u'), "{found}");
        assert!(line.starts_with("LINE 1: ...") && line.ends_with("..."), "{found}");
    }

    #[test]
    fn the_end_of_the_text_can_be_pointed_at() {
        assert_eq!(pointed("SELECT", 7).as_deref(), Some("LINE 1: SELECT\n              ^"));
        assert_eq!(pointed("SELECT\n", 8).as_deref(), Some("LINE 2: \n        ^"));
        assert_eq!(pointed("SELECT", 9), None);
        assert_eq!(pointed("", 0), None);
    }
}
