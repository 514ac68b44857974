//! The figures of a real service desk: the incident log of UCI 498, whose figures its description gives.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Read;
use std::path::{Path, PathBuf};

use datafusion::arrow::util::display::{ArrayFormatter, FormatOptions};

use crate::Session;

fn log() -> Option<String> {
    let root = std::env::var_os("PLIMSOLL_DATA").map(PathBuf::from);
    let root = root.unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data"));
    let Ok(bytes) = std::fs::read(root.join("itsm/incident_event_log.csv.gz")) else {
        #[expect(clippy::print_stderr, reason = "says why nothing was tested")]
        {
            eprintln!("skipped: data set not present (itsm)");
        }
        return None;
    };
    let mut text = String::new();
    flate2::read::GzDecoder::new(bytes.as_slice()).read_to_string(&mut text).unwrap();
    Some(text)
}

/// `29/2/2016 01:16` as a literal; `?` as NULL.
fn time(text: &str) -> String {
    match chrono::NaiveDateTime::parse_from_str(text, "%d/%m/%Y %H:%M") {
        Ok(time) => format!("'{}+00'", time.format("%Y-%m-%d %H:%M:%S")),
        Err(_) => "NULL".to_owned(),
    }
}

/// `2 - Medium` as 2.
fn rank(text: &str) -> &str {
    text.split(' ').next().unwrap_or("NULL")
}

fn answer(session: &Session, query: &str) -> String {
    let batches = session.execute(query, 0).unwrap();
    let options = FormatOptions::default();
    let mut text = String::new();
    for batch in batches {
        let formats: Vec<_> =
            batch.columns().iter().map(|column| ArrayFormatter::try_new(column.as_ref(), &options).unwrap()).collect();
        for row in 0..batch.num_rows() {
            let values: Vec<String> = formats.iter().map(|format| format.value(row).to_string()).collect();
            writeln!(text, "{}", values.join(" ")).unwrap();
        }
    }
    text
}

#[test]
fn a_service_desks_log_gives_the_figures_of_its_description() {
    let Some(log) = log() else { return };
    let mut lines = log.lines().map(|line| line.split(',').map(|field| field.trim_matches('"')).collect::<Vec<_>>());
    let header = lines.next().unwrap();
    let column = |name: &str| header.iter().position(|known| *known == name).unwrap();
    let (number, mods, reopened) = (column("number"), column("sys_mod_count"), column("reopen_count"));
    let (impact, urgency, priority) = (column("impact"), column("urgency"), column("priority"));
    let (opened, resolved, made_sla) = (column("opened_at"), column("resolved_at"), column("made_sla"));
    // The last row of an incident counts; of equals the later one.
    let mut incidents: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    let mut events = 0;
    for row in lines {
        events += 1;
        let count = |row: &[&str]| row[mods].parse::<u64>().unwrap();
        let is_newer = incidents.get(row[number]).is_none_or(|known| count(&row) >= count(known));
        if is_newer {
            incidents.insert(row[number], row);
        }
    }
    assert_eq!((events, incidents.len()), (81_519, 13_302));

    let dir = tempfile::tempdir().unwrap();
    let session = Session::open(dir.path()).unwrap();
    let rows: Vec<String> = incidents
        .values()
        .map(|row| {
            let (impact, urgency, priority) = (rank(row[impact]), rank(row[urgency]), rank(row[priority]));
            let (opened, resolved) = (time(row[opened]), time(row[resolved]));
            let (number, made_sla, reopened) = (row[number], row[made_sla], row[reopened]);
            format!("('{number}', {impact}, {urgency}, {priority}, {opened}, {resolved}, {made_sla}, {reopened})")
        })
        .collect();
    for part in rows.chunks(2_000) {
        let columns = "external_id, impact, urgency, priority, opened_at, resolved_at, made_sla, reopened";
        session.execute(&format!("INSERT INTO ops.incident ({columns}) VALUES {}", part.join(", ")), 0).unwrap();
    }

    let agrees = "SELECT count(*), count(*) FILTER (WHERE m.priority = i.priority) FROM ops.incident i \
                  JOIN ops.priority_matrix m ON m.impact = i.impact AND m.urgency = i.urgency";
    assert_eq!(answer(&session, agrees), "13302 13302\n");
    let priorities = "SELECT priority, count(*) FROM ops.incident GROUP BY 1 ORDER BY 1";
    assert_eq!(answer(&session, priorities), "1 124\n2 176\n3 12533\n4 469\n");
    let figures = "SELECT round(100 * breach_rate(NOT made_sla)::numeric, 2), \
                   round((reopen_rate(reopened) * count(*))::numeric), open_count(resolved_at), \
                   round((extract(epoch FROM mttr(opened_at, resolved_at)) / 3600)::numeric, 2), \
                   round((extract(epoch FROM mttr_p(0.5, opened_at, resolved_at)) / 3600)::numeric, 2) FROM ops.incident";
    assert_eq!(answer(&session, figures), "48.23 175 1010 217.63 46.97\n");
}
