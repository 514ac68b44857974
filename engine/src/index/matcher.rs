//! Which series a scan's matchers select.

use regex::Regex;
use roaring::RoaringBitmap;

use super::{TagIndex, TagPosition};
use crate::scan::TagTest;
use crate::{Error, Result};

impl TagIndex {
    /// The series for which every test holds; a tag without a position is absent from all of them.
    ///
    /// # Errors
    /// [`Error::Pattern`] for a regular expression that does not parse.
    pub(crate) fn select(&self, tests: &[(Option<TagPosition>, &TagTest)]) -> Result<RoaringBitmap> {
        let mut selected = RoaringBitmap::new();
        selected.insert_range(0..self.len());
        for (position, test) in tests {
            if let TagTest::IsNull = test {
                if let Some(postings) = position.and_then(|at| self.tags.get(&at)) {
                    selected -= &postings.present;
                }
            } else {
                selected &= self.with_value(*position, test)?;
            }
        }
        Ok(selected)
    }

    /// The series that have the tag with a value for which the test holds.
    fn with_value(&self, position: Option<TagPosition>, test: &TagTest) -> Result<RoaringBitmap> {
        let regex = match test {
            TagTest::Regex(pattern) => Some(Regex::new(pattern).map_err(|e| Error::Pattern(e.to_string()))?),
            _ => None,
        };
        let Some(postings) = position.and_then(|at| self.tags.get(&at)) else { return Ok(RoaringBitmap::new()) };
        let of_value = |value: &str| self.values.code(value).and_then(|code| postings.by_value.get(&code));
        let of_values = |values: &[String]| {
            values.iter().filter_map(|v| of_value(v)).fold(RoaringBitmap::new(), |all, some| all | some)
        };
        let of_test = |holds: &dyn Fn(&str) -> bool| {
            let hits = postings.by_value.iter().filter(|(code, _)| holds(self.values.text(**code)));
            hits.fold(RoaringBitmap::new(), |all, (_, some)| all | some)
        };
        Ok(match test {
            TagTest::Equals(value) => of_value(value).cloned().unwrap_or_default(),
            TagTest::NotEquals(value) => &postings.present - of_value(value).unwrap_or(&RoaringBitmap::new()),
            TagTest::In(values) => of_values(values),
            TagTest::NotIn(values) => &postings.present - of_values(values),
            TagTest::Prefix(prefix) => of_test(&|value| value.starts_with(prefix.as_str())),
            TagTest::Regex(_) => of_test(&|value| regex.as_ref().is_some_and(|r| r.is_match(value))),
            TagTest::IsNotNull => postings.present.clone(),
            TagTest::IsNull => unreachable!("handled by the caller, which knows all series"),
        })
    }
}
