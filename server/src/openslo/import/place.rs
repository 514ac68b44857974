//! A value of a document and where it stands.

use super::Finding;
use crate::openslo::yaml::{Node, Value};

/// A value with its file, document and path.
#[derive(Debug, Clone)]
pub(super) struct At<'a> {
    pub(super) file: &'a str,
    pub(super) document: usize,
    pub(super) path: String,
    pub(super) node: &'a Node,
}

/// Why something is left out.
#[derive(Debug)]
pub(super) struct Left(pub(super) Finding);

impl<'a> At<'a> {
    pub(super) fn new(file: &'a str, document: usize, node: &'a Node) -> At<'a> {
        At { file, document, path: String::new(), node }
    }

    pub(super) fn path_of(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }

    pub(super) fn get(&self, key: &str) -> Option<At<'a>> {
        self.node.get(key).map(|node| At { node, path: self.path_of(key), ..self.clone() })
    }

    pub(super) fn need(&self, key: &str) -> Result<At<'a>, Left> {
        self.get(key).ok_or_else(|| self.left(format!("{} is missing", self.path_of(key))))
    }

    pub(super) fn need_text(&self) -> Result<&'a str, Left> {
        self.node.text().filter(|text| !text.is_empty()).ok_or_else(|| self.left("this has to be a text"))
    }

    pub(super) fn number(&self) -> Result<f64, Left> {
        let number = self.node.text().and_then(|text| text.parse::<f64>().ok()).filter(|number| number.is_finite());
        number.ok_or_else(|| self.left("this has to be a number"))
    }

    pub(super) fn truth(&self) -> Result<bool, Left> {
        self.node.json().as_bool().ok_or_else(|| self.left("this has to be true or false"))
    }

    /// The items of a list.
    pub(super) fn items(&self) -> Vec<At<'a>> {
        let Value::List(items) = &self.node.value else { return Vec::new() };
        let item = |(index, node)| At { node, path: format!("{}[{index}]", self.path), ..self.clone() };
        items.iter().enumerate().map(item).collect()
    }

    pub(super) fn place(&self) -> String {
        let path = if self.path.is_empty() { String::new() } else { format!(", {}", self.path) };
        format!("{}:{} (document {}{path})", self.file, self.node.line, self.document)
    }

    pub(super) fn left(&self, message: impl Into<String>) -> Left {
        Left(Finding { place: self.place(), message: message.into(), is_left_out: true })
    }
}
