//! `ops.tag_rule`: tags that rows get on their way in, by the table that they are for and the tags that they have.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use plimsoll_engine::{ColumnKind, Point, TableSchema};

use crate::alert::like;
use crate::catalog::Definitions;
use crate::dialect::{Definition, Kind, Service};
use crate::ops::incident::built_in;
use crate::ops::{Held, Named};
use crate::{Database, Result};

/// All rules as they are at one moment, the ones that come first before the others.
#[derive(Debug)]
pub(super) struct TagRules {
    /// The rows that they were read from.
    held: Arc<Held>,
    definitions: Arc<Definitions>,
    rules: Vec<TagRule>,
    /// Services that say which series belong to them, with the patterns of tags.
    services: Vec<(Service, Tags)>,
}

/// Names of tags, and texts or patterns.
type Tags = BTreeMap<String, String>;

#[derive(Debug)]
struct TagRule {
    /// A pattern of names of tables.
    table: String,
    /// Patterns that the tags of a row have to fit.
    matches: Tags,
    set: Tags,
    overwrites: bool,
}

/// Placeholders that stand for the service that a row belongs to.
const OF_SERVICE: [&str; 3] = ["{service}", "{tier}", "{owner}"];

impl TagRules {
    /// The rules of a database; those known, where nothing has changed since.
    ///
    /// # Errors
    /// None: the table is there.
    pub(super) fn of(
        database: &Database,
        definitions: &Arc<Definitions>,
        known: Option<&Arc<TagRules>>,
    ) -> Result<Arc<TagRules>> {
        let table = built_in("tag_rule")?;
        let held = database.ops().held(table);
        let is_same =
            |rules: &&Arc<TagRules>| Arc::ptr_eq(&rules.held, &held) && Arc::ptr_eq(&rules.definitions, definitions);
        if let Some(known) = known.filter(is_same) {
            return Ok(known.clone());
        }
        let mut ordered = Vec::new();
        for row in held.rows().values() {
            let row = Named::new(table, row);
            let tags = |column: &str| row.text(column).and_then(|text| serde_json::from_str::<Tags>(text).ok());
            let rule = TagRule {
                table: row.text("table_name").unwrap_or("*").to_owned(),
                matches: tags("where_tags").unwrap_or_default(),
                set: tags("set_tags").unwrap_or_default(),
                overwrites: row.boolean("overwrite").unwrap_or(false),
            };
            ordered.push(((row.integer("position"), row.integer("id")), rule));
        }
        ordered.sort_by_key(|(place, _)| *place);
        let rules = ordered.into_iter().map(|(_, rule)| rule).collect();
        let services = definitions.of_kind(Kind::Service).filter_map(|object| match &object.definition {
            Definition::Service(service) => {
                let tags = serde_json::from_str::<Tags>(service.options.text("match")?).ok()?;
                (!tags.is_empty()).then(|| (service.clone(), tags))
            }
            _ => None,
        });
        let services = services.collect();
        Ok(Arc::new(TagRules { held, definitions: definitions.clone(), rules, services }))
    }

    /// True for a table whose rows may get tags.
    pub(super) fn watches(&self, table: &str) -> bool {
        self.rules.iter().any(|rule| like(table, &rule.table))
    }

    /// Gives a point of a table its tags. A name that is no tag of the table is passed over.
    pub(super) fn enrich(&self, point: &mut Point<'_>, schema: Option<&TableSchema>) {
        for rule in self.rules.iter().filter(|rule| like(&point.table, &rule.table)) {
            if !fits(&rule.matches, point) {
                continue;
            }
            for (name, text) in &rule.set {
                let column = schema.and_then(|schema| Some(schema.columns[schema.position(name)?].kind));
                let is_field = point.fields.iter().any(|(field, _)| field == name);
                if is_field || !matches!(column, None | Some(ColumnKind::Tag)) {
                    continue;
                }
                let known = point.tags.iter().position(|(tag, text)| tag == name && !text.is_empty());
                if known.is_some() && !rule.overwrites {
                    continue;
                }
                let Some(text) = self.filled_in(text, point) else { continue };
                point.tags.retain(|(tag, _)| tag != name);
                if !text.is_empty() {
                    point.tags.push((Cow::Owned(name.clone()), Cow::Owned(text)));
                }
            }
        }
    }

    /// A text with what it says of the service of a row; `None` where the row belongs to none, or that is not known.
    fn filled_in(&self, text: &str, point: &Point<'_>) -> Option<String> {
        if !OF_SERVICE.iter().any(|placeholder| text.contains(placeholder)) {
            return Some(text.to_owned());
        }
        let (service, _) = self.services.iter().find(|(_, tags)| fits(tags, point))?;
        let owner = match service.owner.as_deref() {
            None if text.contains("{owner}") => return None,
            owner => owner.unwrap_or_default(),
        };
        let filled = text.replace("{service}", &service.name).replace("{tier}", &service.tier.to_string());
        Some(filled.replace("{owner}", owner))
    }
}

/// True for a point whose tags fit all patterns.
fn fits(patterns: &Tags, point: &Point<'_>) -> bool {
    patterns.iter().all(|(name, pattern)| {
        let tag = point.tags.iter().find(|(tag, _)| tag == name).map_or("", |(_, text)| &**text);
        like(tag, pattern)
    })
}
