//! Where the last whole line of a piece of a stream ends.

/// Bytes up to and with the last newline that ends a line; newlines inside of strings end none. Takes one pass, and keeps to the
/// grammar only as far as that needs: strings begin in the fields, behind the first space that no backslash escapes.
pub(crate) fn whole_lines(bytes: &[u8]) -> usize {
    let mut end = 0;
    let mut place = Place::Start;
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        let escapes = *byte == b'\\' && bytes.get(at + 1).is_some_and(|next| *next != b'\n' || place == Place::Text);
        place = match (place, byte) {
            (place, _) if escapes => {
                at += 1;
                if place == Place::Start { Place::Tags } else { place }
            }
            (Place::Text, b'"') => Place::Fields,
            (Place::Text, _) => Place::Text,
            (_, b'\n') => {
                end = at + 1;
                Place::Start
            }
            (Place::Comment, _) => Place::Comment,
            (Place::Start, b'#') => Place::Comment,
            (Place::Start, b' ' | b'\t' | b'\r') => Place::Start,
            (Place::Fields, b'"') => Place::Text,
            (Place::Tags, b' ') | (Place::Fields, _) => Place::Fields,
            (Place::Start | Place::Tags, _) => Place::Tags,
        };
        at += 1;
    }
    end
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Start,
    Comment,
    Tags,
    Fields,
    Text,
}

#[cfg(test)]
mod tests {
    use super::whole_lines;

    #[test]
    fn only_newlines_outside_of_strings_end_lines() {
        for (whole, rest) in [
            ("", ""),
            ("", "m f=1"),
            ("m f=1\n", "m f"),
            ("m f=\"a\nb\" 1\n", ""),
            ("m f=1\n", "m f=\"a\nb"),
            ("m f=\"a\\\"\nb\"\n", "x"),
            ("# it's a \"comment\n", "m"),
            ("m\\ \"x,t=a\"b f=1\n", ""),
            ("m,t=a\\\n", "f=1"),
            ("  m f=1\r\n", ""),
        ] {
            assert_eq!(whole_lines(format!("{whole}{rest}").as_bytes()), whole.len(), "{whole:?} {rest:?}");
        }
    }
}
