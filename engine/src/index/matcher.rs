//! Which series a scan's matchers select.

use regex::{Regex, RegexBuilder};
use roaring::RoaringBitmap;

use super::postings::Postings;
use super::{TagIndex, TagPosition};
use crate::scan::TagTest;
use crate::{Error, Result};

impl TagIndex {
    /// The series for which every test holds; a tag without a position is absent from all of them.
    ///
    /// # Errors
    /// [`Error::Pattern`] for a regular expression that does not parse.
    pub(crate) fn select(&self, tests: &[(Option<TagPosition>, &TagTest)]) -> Result<RoaringBitmap> {
        let mut selected = self.all();
        for (position, test) in tests {
            let postings = position.and_then(|at| self.postings(at));
            match test {
                TagTest::IsNull => selected -= postings.map_or(&RoaringBitmap::new(), |p| &p.present),
                TagTest::Regex(pattern) => selected &= matching(postings, &regex(pattern)?),
                _ => selected &= postings.map_or_else(RoaringBitmap::new, |p| with_value(p, test)),
            }
        }
        Ok(selected)
    }

    /// Every series.
    pub(crate) fn all(&self) -> RoaringBitmap {
        let mut all = RoaringBitmap::new();
        all.insert_range(0..self.len());
        all
    }
}

fn regex(pattern: &str) -> Result<Regex> {
    RegexBuilder::new(pattern).dot_matches_new_line(true).build().map_err(|e| Error::Pattern(e.to_string()))
}

fn matching(postings: Option<&Postings>, regex: &Regex) -> RoaringBitmap {
    postings.map_or_else(RoaringBitmap::new, |p| where_value(p, |value| regex.is_match(value)))
}

/// The series that have the tag with a value for which the test holds.
fn with_value(postings: &Postings, test: &TagTest) -> RoaringBitmap {
    let of = |values: &[String]| postings.union(values.iter().filter_map(|v| postings.values.code(v)));
    match test {
        TagTest::Equals(value) => of(std::slice::from_ref(value)),
        TagTest::NotEquals(value) => &postings.present - of(std::slice::from_ref(value)),
        TagTest::In(values) => of(values),
        TagTest::NotIn(values) => &postings.present - of(values),
        TagTest::Prefix(prefix) => where_value(postings, |value| value.starts_with(prefix.as_str())),
        TagTest::IsNotNull => postings.present.clone(),
        TagTest::IsNull | TagTest::Regex(_) => unreachable!("handled by the caller"),
    }
}

/// Tests each distinct value once: they lie one after the other in memory, so that a million take milliseconds.
fn where_value(postings: &Postings, holds: impl Fn(&str) -> bool) -> RoaringBitmap {
    let hits = (0..).zip(postings.values.texts()).filter(|(_, value)| holds(value)).map(|(code, _)| code);
    let hits: Vec<u32> = hits.collect();
    if hits.len() == postings.values.len() {
        return postings.present.clone();
    }
    postings.union(hits.into_iter())
}
