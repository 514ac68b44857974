//! YAML: documents whose values know their lines, and the way back.

use granit_parser::{Event, Parser, ScalarStyle};
use serde_json::Value as Json;

/// How deep values may lie in one another, and how many a file may have.
const DEPTH_MAX: usize = 64;
const VALUES_MAX: usize = 1_000_000;

/// A value and the line that it begins on, from 1.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Node {
    pub(super) line: usize,
    pub(super) value: Value,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value {
    /// A scalar; `is_plain` when it is written without quotes.
    Scalar {
        text: String,
        is_plain: bool,
    },
    List(Vec<Node>),
    Map(Vec<(String, Node)>),
}

/// What is wrong with a file.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Broken {
    /// The document, from 1.
    pub(super) document: usize,
    pub(super) line: usize,
    pub(super) message: String,
}

/// A list or a map that is not at its end yet.
struct Open {
    line: usize,
    is_map: bool,
    key: Option<String>,
    items: Vec<Node>,
    entries: Vec<(String, Node)>,
}

/// Reads the documents of a text; those that are empty count, and are left out.
pub(super) fn documents(text: &str) -> Result<Vec<(usize, Node)>, Broken> {
    let (mut found, mut document, mut open, mut values) = (Vec::new(), 0, Vec::<Open>::new(), 0);
    for next in Parser::new_from_str(text) {
        let broken =
            |document: usize, line: usize, message: String| Broken { document: document.max(1), line, message };
        let (event, span) = next.map_err(|error| broken(document, error.marker().line(), error.info()))?;
        let line = span.start.line();
        let opened = |is_map| Open { line, is_map, key: None, items: Vec::new(), entries: Vec::new() };
        let node = match event {
            Event::DocumentStart(..) => {
                document += 1;
                continue;
            }
            Event::MappingStart(..) | Event::SequenceStart(..) => {
                if open.len() >= DEPTH_MAX {
                    return Err(broken(document, line, format!("values lie more than {DEPTH_MAX} deep")));
                }
                open.push(opened(matches!(event, Event::MappingStart(..))));
                continue;
            }
            Event::MappingEnd | Event::SequenceEnd => {
                let Some(done) = open.pop() else { continue };
                let value = if done.is_map { Value::Map(done.entries) } else { Value::List(done.items) };
                Node { line: done.line, value }
            }
            Event::Scalar(text, style, ..) => {
                Node { line, value: Value::Scalar { text: text.into_owned(), is_plain: style == ScalarStyle::Plain } }
            }
            Event::Alias(..) => {
                let message = "an alias: write the value out, anchors are not followed".to_owned();
                return Err(broken(document, line, message));
            }
            _ => continue,
        };
        values += 1;
        if values > VALUES_MAX {
            return Err(broken(document, line, format!("the file has more than {VALUES_MAX} values")));
        }
        match open.last_mut() {
            None if node.is_null() => {}
            None => found.push((document, node)),
            Some(parent) if !parent.is_map => parent.items.push(node),
            Some(parent) => match (parent.key.take(), node.value) {
                (Some(key), value) => parent.entries.push((key, Node { line: node.line, value })),
                (None, Value::Scalar { text, .. }) => {
                    if parent.entries.iter().any(|(known, _)| *known == text) {
                        return Err(broken(document, line, format!("the key \"{text}\" is given twice")));
                    }
                    parent.key = Some(text);
                }
                (None, _) => return Err(broken(document, line, "a key has to be a text".to_owned())),
            },
        }
    }
    Ok(found)
}

impl Node {
    pub(super) fn is_null(&self) -> bool {
        matches!(&self.value, Value::Scalar { text, is_plain: true } if ["", "~", "null", "Null", "NULL"].contains(&text.as_str()))
    }

    /// The member of a map; none when it is null.
    pub(super) fn get(&self, key: &str) -> Option<&Node> {
        let Value::Map(entries) = &self.value else { return None };
        entries.iter().find(|(known, _)| known == key).map(|(_, node)| node).filter(|node| !node.is_null())
    }

    pub(super) fn text(&self) -> Option<&str> {
        match &self.value {
            Value::Scalar { text, .. } => Some(text),
            _ => None,
        }
    }

    /// As JSON, with what plain scalars mean in YAML's core schema.
    pub(super) fn json(&self) -> Json {
        match &self.value {
            _ if self.is_null() => Json::Null,
            Value::Scalar { text, is_plain: true } => match text.as_str() {
                "true" | "True" | "TRUE" => Json::Bool(true),
                "false" | "False" | "FALSE" => Json::Bool(false),
                text => match serde_json::from_str::<serde_json::Number>(text) {
                    Ok(number) => Json::Number(number),
                    Err(_) => Json::String(text.to_owned()),
                },
            },
            Value::Scalar { text, .. } => Json::String(text.clone()),
            Value::List(items) => Json::Array(items.iter().map(Node::json).collect()),
            Value::Map(entries) => Json::Object(entries.iter().map(|(key, node)| (key.clone(), node.json())).collect()),
        }
    }
}

/// Prints a document: maps and lists in blocks, texts in double quotes unless they can stand bare.
pub(super) fn print(document: &Json) -> String {
    let mut out = String::new();
    print_below(document, 0, &mut out);
    out
}

fn print_below(value: &Json, indent: usize, out: &mut String) {
    let pad = " ".repeat(indent);
    match value {
        Json::Object(map) => {
            for (key, value) in map {
                out.push_str(&format!("{pad}{}:", scalar(key)));
                print_behind(value, indent, out);
            }
        }
        Json::Array(items) => {
            for item in items {
                let mut inner = String::new();
                match is_block(item) {
                    true => print_below(item, indent + 2, &mut inner),
                    false => inner = format!("{}\n", flow(item)),
                }
                out.push_str(&format!("{pad}- {}", inner.trim_start()));
            }
        }
        scalar => out.push_str(&format!("{pad}{}\n", flow(scalar))),
    }
}

fn print_behind(value: &Json, indent: usize, out: &mut String) {
    match is_block(value) {
        true => {
            out.push('\n');
            print_below(value, indent + 2, out);
        }
        false => out.push_str(&format!(" {}\n", flow(value))),
    }
}

fn is_block(value: &Json) -> bool {
    match value {
        Json::Object(map) => !map.is_empty(),
        Json::Array(items) => !items.is_empty(),
        _ => false,
    }
}

fn flow(value: &Json) -> String {
    match value {
        Json::String(text) => scalar(text),
        other => other.to_string(),
    }
}

/// A text bare if nothing else can be read in it, as JSON otherwise, which YAML reads alike.
fn scalar(text: &str) -> String {
    let is_name = text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || "-_./".contains(c));
    let means_more = ["true", "false", "null", "yes", "no", "on", "off", "y", "n"];
    match is_name && !means_more.contains(&text.to_lowercase().as_str()) {
        true => text.to_owned(),
        // JSON leaves some characters as they are that YAML does not take so.
        false => {
            let json = Json::String(text.to_owned()).to_string();
            json.chars().map(escaped).collect()
        }
    }
}

fn escaped(c: char) -> String {
    match c {
        '\u{7f}'..='\u{a0}' | '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}' => {
            format!("\\u{:04x}", u32::from(c))
        }
        c => c.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn json() -> impl Strategy<Value = Json> {
        let leaf = prop_oneof![
            any::<bool>().prop_map(Json::Bool),
            any::<i32>().prop_map(|number| json!(number)),
            any::<String>().prop_map(Json::String),
            "[a-z0-9:#&*!|> '\"%@`{}\\[\\],?-]{0,8}".prop_map(Json::String),
        ];
        leaf.prop_recursive(4, 32, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Json::Array),
                prop::collection::btree_map("[a-z0-9 :.-]{1,6}", inner, 0..4)
                    .prop_map(|map| Json::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn what_is_printed_is_read_back(value in json()) {
            let text = print(&json!({ "value": value.clone() }));
            let read = documents(&text).map_err(|broken| TestCaseError::fail(format!("{broken:?}\n{text}")))?;
            prop_assert_eq!(read[0].1.get("value").map_or(Json::Null, Node::json), value, "{}", text);
        }

        #[test]
        fn no_text_makes_it_panic(text in any::<String>(), yaml in "[-a:\\n #&*!|>'\"%@`{}\\[\\],?~0]{0,60}") {
            let _ = documents(&text);
            let _ = documents(&yaml);
        }
    }

    #[test]
    fn lines_and_documents_are_counted() {
        let read = documents("# first\n---\na: 1\n---\n---\nb:\n  - c: x\n").expect("YAML");
        assert_eq!(read.iter().map(|(document, _)| *document).collect::<Vec<_>>(), [1, 3]);
        assert_eq!(read[1].1.get("b").map(|node| node.line), Some(7));
    }

    #[test]
    fn what_is_wrong_has_its_line() {
        for (text, line) in [("a: 1\na: 2\n", 2), ("a: [1\n", 1), ("a: &x 1\nb: *x\n", 2)] {
            assert_eq!(documents(text).expect_err(text).line, line, "{text}");
        }
        assert!(documents(&"[".repeat(100_000)).is_err());
    }
}
