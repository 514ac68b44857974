//! The file of queries: sections of clients, each a list of tagged queries.

use std::sync::LazyLock;

use regex::Regex;

/// One query and what the file says of it.
#[derive(Debug, Clone)]
pub(super) struct Query {
    /// Short name of the client.
    pub(super) client: String,
    /// What it is for.
    pub(super) about: String,
    pub(super) must: bool,
    pub(super) extended: bool,
    /// Types that the client declares for its parameters, 0 where it leaves one open.
    pub(super) declared: Vec<u32>,
    pub(super) text: String,
}

static WORD_TS: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"\bts\b").expect("a pattern"));
static PARAMETER: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"\$\d").expect("a pattern"));

/// Clients that use the extended protocol for everything.
const EXTENDED: &[&str] = &["pgjdbc", "DBeaver", "Metabase", "DataGrip"];

/// Reads the file. Lines of `-- @` that follow each other tag one query, which ends before the next tag or section.
pub(super) fn queries(text: &str) -> Vec<Query> {
    let mut queries: Vec<Query> = Vec::new();
    let (mut client, mut tags, mut body): (String, Vec<&str>, Vec<&str>) = Default::default();
    let mut finish = |client: &str, tags: &mut Vec<&str>, body: &mut Vec<&str>| {
        if !tags.is_empty() {
            queries.push(query(client, tags, body.join("\n").trim()));
        }
        tags.clear();
        body.clear();
    };
    let mut is_heading = false;
    for line in text.lines() {
        if let Some(name) = line.strip_prefix("-- CLIENT: ") {
            client = short(name);
        } else if line.starts_with("-- =====") {
            finish(&client, &mut tags, &mut body);
            is_heading = !is_heading;
        } else if let Some(tag) = line.strip_prefix("-- @ ") {
            if !body.iter().all(|line| line.trim().is_empty()) {
                finish(&client, &mut tags, &mut body);
            }
            tags.push(tag);
        } else if !is_heading {
            body.push(line);
        }
    }
    finish(&client, &mut tags, &mut body);
    queries
}

/// The name without versions and remarks.
fn short(name: &str) -> String {
    let name = name.split(['(', ';', ',']).next().unwrap_or(name);
    name.trim().trim_end_matches(": what changed").to_owned()
}

fn query(client: &str, tags: &[&str], text: &str) -> Query {
    let must = tags.iter().any(|tag| tag.contains("[must]"));
    let about = tags[0].replace("[must]", "").replace("[nice]", "").trim().to_owned();
    let declared = about.split_once("oids=[").and_then(|(_, list)| list.split_once(']'));
    let declared = declared.map_or("", |(list, _)| list).split(',').filter_map(|oid| oid.trim().parse().ok()).collect();
    let says_simple = about.contains("proto=simple");
    let extended = PARAMETER.is_match(text) && !text.contains("$Table")
        || about.contains("proto=extended")
        || !says_simple && EXTENDED.iter().any(|name| client.starts_with(name));
    // The time column of our tables has a name of its own; nobody has to wait.
    let text = if text.contains("pg_catalog.pg_type ts") {
        text.to_owned()
    } else {
        WORD_TS.replace_all(text, "time").into_owned()
    };
    let text = text.replace("pg_sleep(2)", "pg_sleep(0.01)");
    Query { client: client.to_owned(), about, must, extended, declared, text }
}

impl Query {
    /// The object that `$OID` stands for.
    pub(super) fn object(&self) -> &'static str {
        if self.about.contains("v_cpu") { "v_cpu" } else { "metrics" }
    }

    /// A value for a parameter, by its type and by what stands before it in the text.
    pub(super) fn value(&self, nth: usize, type_oid: u32, oid_of: &dyn Fn(&str) -> u32) -> String {
        let at = self.text.find(&format!("${}", nth + 1)).unwrap_or_default();
        let mut start = at.saturating_sub(40);
        while !self.text.is_char_boundary(start) {
            start -= 1;
        }
        let before = self.text[start..at].to_lowercase();
        let is_after = |words: &[&str]| words.iter().any(|word| before.contains(word));
        let text = match type_oid {
            16 => "true",
            20 | 21 | 23 | 26 if is_after(&["relnamespace"]) => "2200",
            20 | 21 | 23 | 26 if is_after(&["indrelid", "conrelid", "c.oid"]) => {
                return oid_of("metrics").to_string();
            }
            20 | 21 | 23 => "1",
            26 if is_after(&["db.oid"]) => "5",
            26 => "1184",
            700 | 701 | 1700 => "0.25",
            1114 | 1184 => "2023-12-31T00:00:00.000+00:00",
            1002 | 1009 | 1003 => "{r,v}",
            1028 => "{1184,25}",
            2205 => "metrics",
            _ if is_after(&["to_regtype"]) => "text",
            _ if is_after(&["pg_catalog.~"]) => "^(metrics)$",
            _ if is_after(&["'jit'"]) => "off",
            _ if is_after(&["name=", "setting"]) && self.text.contains("pg_settings") => "search_path",
            _ if is_after(&["datname"]) => "postgres",
            _ if is_after(&["relname", "table_name"]) => "metrics",
            _ if is_after(&["nspname", "schema"]) => "public",
            _ if is_after(&["host"]) => "h1",
            _ => "%",
        };
        text.to_owned()
    }
}
