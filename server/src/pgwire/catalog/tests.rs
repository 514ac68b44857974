//! Whole statements through the door: what psql 15 sends, PostgreSQL's semantics, limits, and every captured client
//! query when the fixtures are at hand.

use super::{Answer, CatalogError, Context, Datum, Table, TableColumn, concerns, describe, execute};
use datafusion::sql::sqlparser::{ast::Statement, dialect::PostgreSqlDialect, parser::Parser};
use expect_test::{Expect, expect};
use std::{collections::BTreeMap, path::PathBuf};

fn parse(sql: &str) -> Vec<Statement> {
    Parser::parse_sql(&PostgreSqlDialect {}, sql).unwrap()
}

fn tables() -> Vec<Table> {
    let column = |(name, type_oid, not_null, comment): (&str, u32, bool, Option<&str>)| TableColumn {
        name: name.to_owned(),
        type_oid,
        not_null,
        comment: comment.map(str::to_owned),
    };
    let table = |oid: u32, name: &str, columns: &[(&str, u32, bool, Option<&str>)]| Table {
        schema: "public",
        definition: None,
        is_materialized: false,
        oid,
        name: name.to_owned(),
        columns: columns.iter().copied().map(column).collect(),
    };
    vec![
        table(
            16384,
            "cpu",
            &[
                ("time", 1184, true, None),
                ("hostname", 25, false, Some("tag")),
                ("usage_user", 701, false, Some("field")),
                ("n", 20, false, Some("field")),
                ("big", 1700, false, Some("field")),
                ("up", 16, false, Some("field")),
            ],
        ),
        table(16385, "Disk IO", &[("time", 1184, true, None), ("free", 701, false, None)]),
    ]
}

fn with_context<T>(run: impl FnOnce(&Context<'_>) -> T) -> T {
    let settings = |name: &str| {
        let value = match name {
            "search_path" => "\"$user\", public",
            "server_version_num" => "150000",
            "timezone" => "Europe/Berlin",
            "jit" => "on",
            _ => return None,
        };
        Some(value.to_owned())
    };
    run(&Context {
        tables: &tables(),
        database: "postgres",
        user: "postgres",
        backend_pid: 42,
        listening: &["jobs".to_owned()],
        settings: &settings,
        all_settings: &[("work_mem".to_owned(), "4096".to_owned()), ("max_index_keys".to_owned(), "32".to_owned())],
        now_ns: 1_704_067_200_000_000_000,
        started_ns: 1_704_067_100_000_000_000,
    })
}

fn run(sql: &str, parameters: &[Datum]) -> Result<Answer, CatalogError> {
    let statements = parse(sql);
    let [statement] = statements.as_slice() else { panic!("one statement, not {}", statements.len()) };
    assert!(concerns(statement), "{sql}");
    with_context(|context| {
        let answer = execute(statement, context, &[], parameters)?;
        assert_eq!(answer.columns, describe(statement, context, &[])?.columns);
        Ok(answer)
    })
}

/// Names and types of the columns, then the rows, in psql's unaligned manner.
fn shown(answer: &Answer) -> String {
    let heads: Vec<String> = answer.columns.iter().map(|(name, oid)| format!("{name}:{oid}")).collect();
    let row = |row: &Vec<Datum>| {
        let cells =
            row.iter().zip(&answer.columns).map(|(cell, (_, oid))| cell.text(*oid).unwrap_or_else(|| "∅".into()));
        cells.collect::<Vec<_>>().join("|")
    };
    std::iter::once(heads.join("|")).chain(answer.rows.iter().map(row)).collect::<Vec<_>>().join("\n")
}

fn check(sql: &str, expected: &Expect) {
    match run(sql, &[]) {
        Ok(answer) => expected.assert_eq(&shown(&answer)),
        Err(error) => expected.assert_eq(&format!(
            "{} {}{}",
            error.sqlstate,
            error.message,
            error.position_in(sql).map_or(String::new(), |position| format!(" at {position}"))
        )),
    }
}

fn check_with(sql: &str, parameters: &[Datum], expected: &Expect) {
    expected.assert_eq(&shown(&run(sql, parameters).unwrap()));
}

/// What psql 15 sends for `\d`.
#[test]
fn list_relations() {
    check(
        r#"SELECT n.nspname as "Schema",
  c.relname as "Name",
  CASE c.relkind WHEN 'r' THEN 'table' WHEN 'v' THEN 'view' WHEN 'm' THEN 'materialized view' WHEN 'i' THEN 'index' WHEN 'S' THEN 'sequence' WHEN 't' THEN 'TOAST table' WHEN 'f' THEN 'foreign table' WHEN 'p' THEN 'partitioned table' WHEN 'I' THEN 'partitioned index' END as "Type",
  pg_catalog.pg_get_userbyid(c.relowner) as "Owner"
FROM pg_catalog.pg_class c
     LEFT JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
     LEFT JOIN pg_catalog.pg_am am ON am.oid = c.relam
WHERE c.relkind IN ('r','p','v','m','S','f','')
      AND n.nspname <> 'pg_catalog'
      AND n.nspname !~ '^pg_toast'
      AND n.nspname <> 'information_schema'
  AND pg_catalog.pg_table_is_visible(c.oid)
ORDER BY 1,2;"#,
        &expect![[r#"
            Schema:19|Name:19|Type:25|Owner:19
            public|Disk IO|table|postgres
            public|cpu|table|postgres"#]],
    );
}

/// What psql 15 sends for `\d cpu`.
#[test]
fn describe_table() {
    check(
        r#"SELECT c.oid,
  n.nspname,
  c.relname
FROM pg_catalog.pg_class c
     LEFT JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE c.relname OPERATOR(pg_catalog.~) '^(cpu)$' COLLATE pg_catalog.default
  AND pg_catalog.pg_table_is_visible(c.oid)
ORDER BY 2, 3;"#,
        &expect![[r#"
            oid:26|nspname:19|relname:19
            16384|public|cpu"#]],
    );
    check(
        r#"SELECT c.relchecks, c.relkind, c.relhasindex, c.relhasrules, c.relhastriggers, c.relrowsecurity, c.relforcerowsecurity, false AS relhasoids, c.relispartition, '', c.reltablespace, CASE WHEN c.reloftype = 0 THEN '' ELSE c.reloftype::pg_catalog.regtype::pg_catalog.text END, c.relpersistence, c.relreplident, am.amname
FROM pg_catalog.pg_class c
 LEFT JOIN pg_catalog.pg_class tc ON (c.reltoastrelid = tc.oid)
LEFT JOIN pg_catalog.pg_am am ON (c.relam = am.oid)
WHERE c.oid = '16384';"#,
        &expect![[r#"
            relchecks:21|relkind:18|relhasindex:16|relhasrules:16|relhastriggers:16|relrowsecurity:16|relforcerowsecurity:16|relhasoids:16|relispartition:16|?column?:25|reltablespace:26|reloftype:25|relpersistence:18|relreplident:18|amname:19
            0|r|f|f|f|f|f|f|f||0||p|d|heap"#]],
    );
    check(
        r#"SELECT a.attname,
  pg_catalog.format_type(a.atttypid, a.atttypmod),
  (SELECT pg_catalog.pg_get_expr(d.adbin, d.adrelid, true)
   FROM pg_catalog.pg_attrdef d
   WHERE d.adrelid = a.attrelid AND d.adnum = a.attnum AND a.atthasdef),
  a.attnotnull,
  (SELECT c.collname FROM pg_catalog.pg_collation c, pg_catalog.pg_type t
   WHERE c.oid = a.attcollation AND t.oid = a.atttypid AND a.attcollation <> t.typcollation) AS attcollation,
  a.attidentity,
  a.attgenerated
FROM pg_catalog.pg_attribute a
WHERE a.attrelid = '16384' AND a.attnum > 0 AND NOT a.attisdropped
ORDER BY a.attnum;"#,
        &expect![[r#"
            attname:19|format_type:25|pg_get_expr:25|attnotnull:16|attcollation:19|attidentity:18|attgenerated:18
            time|timestamp with time zone|∅|t|∅||
            hostname|text|∅|f|∅||
            usage_user|double precision|∅|f|∅||
            n|bigint|∅|f|∅||
            big|numeric|∅|f|∅||
            up|boolean|∅|f|∅||"#]],
    );
    check(
        r#"SELECT pol.polname, pol.polpermissive,
  CASE WHEN pol.polroles = '{0}' THEN NULL ELSE pg_catalog.array_to_string(array(select rolname from pg_catalog.pg_roles where oid = any (pol.polroles) order by 1),',') END,
  pg_catalog.pg_get_expr(pol.polqual, pol.polrelid),
  pg_catalog.pg_get_expr(pol.polwithcheck, pol.polrelid),
  CASE pol.polcmd
    WHEN 'r' THEN 'SELECT'
    WHEN 'a' THEN 'INSERT'
    WHEN 'w' THEN 'UPDATE'
    WHEN 'd' THEN 'DELETE'
    END AS cmd
FROM pg_catalog.pg_policy pol
WHERE pol.polrelid = '16384' ORDER BY 1;"#,
        &expect!["polname:19|polpermissive:16|array_to_string:25|pg_get_expr:25|pg_get_expr:25|cmd:25"],
    );
    check(
        r#"SELECT oid, stxrelid::pg_catalog.regclass, stxnamespace::pg_catalog.regnamespace::pg_catalog.text AS nsp, stxname,
pg_catalog.pg_get_statisticsobjdef_columns(oid) AS columns,
  'd' = any(stxkind) AS ndist_enabled,
  'f' = any(stxkind) AS deps_enabled,
  'm' = any(stxkind) AS mcv_enabled,
stxstattarget
FROM pg_catalog.pg_statistic_ext
WHERE stxrelid = '16384'
ORDER BY nsp, stxname;"#,
        &expect![
            "oid:26|stxrelid:2205|nsp:25|stxname:19|columns:25|ndist_enabled:16|deps_enabled:16|mcv_enabled:16|stxstattarget:23"
        ],
    );
    check(
        r#"SELECT pubname
     , NULL
     , NULL
FROM pg_catalog.pg_publication p
     JOIN pg_catalog.pg_publication_namespace pn ON p.oid = pn.pnpubid
     JOIN pg_catalog.pg_class pc ON pc.relnamespace = pn.pnnspid
WHERE pc.oid ='16384' and pg_catalog.pg_relation_is_publishable('16384')
UNION
SELECT pubname
     , pg_get_expr(pr.prqual, c.oid)
     , (CASE WHEN pr.prattrs IS NOT NULL THEN
         (SELECT string_agg(attname, ', ')
           FROM pg_catalog.generate_series(0, pg_catalog.array_upper(pr.prattrs::pg_catalog.int2[], 1)) s,
                pg_catalog.pg_attribute
          WHERE attrelid = pr.prrelid AND attnum = prattrs[s])
        ELSE NULL END) FROM pg_catalog.pg_publication p
     JOIN pg_catalog.pg_publication_rel pr ON p.oid = pr.prpubid
     JOIN pg_catalog.pg_class c ON c.oid = pr.prrelid
WHERE pr.prrelid = '16384'
UNION
SELECT pubname
     , NULL
     , NULL
FROM pg_catalog.pg_publication p
WHERE p.puballtables AND pg_catalog.pg_relation_is_publishable('16384')
ORDER BY 1;"#,
        &expect!["pubname:19|?column?:25|?column?:25"],
    );
    check(
        r#"SELECT c.oid::pg_catalog.regclass
FROM pg_catalog.pg_class c, pg_catalog.pg_inherits i
WHERE c.oid = i.inhparent AND i.inhrelid = '16384'
  AND c.relkind != 'p' AND c.relkind != 'I'
ORDER BY inhseqno;"#,
        &expect!["oid:2205"],
    );
    check(
        r#"SELECT c.oid::pg_catalog.regclass, c.relkind, inhdetachpending, pg_catalog.pg_get_expr(c.relpartbound, c.oid)
FROM pg_catalog.pg_class c, pg_catalog.pg_inherits i
WHERE c.oid = i.inhrelid AND i.inhparent = '16384'
ORDER BY pg_catalog.pg_get_expr(c.relpartbound, c.oid) = 'DEFAULT', c.oid::pg_catalog.regclass::pg_catalog.text;"#,
        &expect!["oid:2205|relkind:18|inhdetachpending:16|pg_get_expr:25"],
    );
}

/// What psql 15 sends for `\dt+`.
#[test]
fn list_tables_in_full() {
    check(
        r#"SELECT n.nspname as "Schema",
  c.relname as "Name",
  CASE c.relkind WHEN 'r' THEN 'table' WHEN 'v' THEN 'view' WHEN 'm' THEN 'materialized view' WHEN 'i' THEN 'index' WHEN 'S' THEN 'sequence' WHEN 't' THEN 'TOAST table' WHEN 'f' THEN 'foreign table' WHEN 'p' THEN 'partitioned table' WHEN 'I' THEN 'partitioned index' END as "Type",
  pg_catalog.pg_get_userbyid(c.relowner) as "Owner",
  CASE c.relpersistence WHEN 'p' THEN 'permanent' WHEN 't' THEN 'temporary' WHEN 'u' THEN 'unlogged' END as "Persistence",
  am.amname as "Access method",
  pg_catalog.pg_size_pretty(pg_catalog.pg_table_size(c.oid)) as "Size",
  pg_catalog.obj_description(c.oid, 'pg_class') as "Description"
FROM pg_catalog.pg_class c
     LEFT JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
     LEFT JOIN pg_catalog.pg_am am ON am.oid = c.relam
WHERE c.relkind IN ('r','p','')
      AND n.nspname <> 'pg_catalog'
      AND n.nspname !~ '^pg_toast'
      AND n.nspname <> 'information_schema'
  AND pg_catalog.pg_table_is_visible(c.oid)
ORDER BY 1,2;"#,
        &expect![[r#"
            Schema:19|Name:19|Type:25|Owner:19|Persistence:25|Access method:19|Size:25|Description:25
            public|Disk IO|table|postgres|permanent|heap|0 bytes|∅
            public|cpu|table|postgres|permanent|heap|0 bytes|∅"#]],
    );
}

/// What psql 15 sends for `\l`.
#[test]
fn list_databases() {
    check(
        r#"SELECT d.datname as "Name",
       pg_catalog.pg_get_userbyid(d.datdba) as "Owner",
       pg_catalog.pg_encoding_to_char(d.encoding) as "Encoding",
       d.datcollate as "Collate",
       d.datctype as "Ctype",
       d.daticulocale as "ICU Locale",
       CASE d.datlocprovider WHEN 'c' THEN 'libc' WHEN 'i' THEN 'icu' END AS "Locale Provider",
       pg_catalog.array_to_string(d.datacl, E'\n') AS "Access privileges"
FROM pg_catalog.pg_database d
ORDER BY 1;"#,
        &expect![[r#"
            Name:19|Owner:19|Encoding:19|Collate:25|Ctype:25|ICU Locale:25|Locale Provider:25|Access privileges:25
            postgres|postgres|UTF8|C.UTF-8|C.UTF-8|∅|libc|∅"#]],
    );
}

/// What psql 15 sends for `\dn`.
#[test]
fn list_schemas() {
    check(
        r#"SELECT n.nspname AS "Name",
  pg_catalog.pg_get_userbyid(n.nspowner) AS "Owner"
FROM pg_catalog.pg_namespace n
WHERE n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
ORDER BY 1;"#,
        &expect![[r#"
            Name:19|Owner:19
            kpi|postgres
            ops|postgres
            public|pg_database_owner
            sla|postgres
            slo|postgres
            sys|postgres"#]],
    );
}

/// What psql 15 sends for `\du`.
#[test]
fn list_roles() {
    check(
        r#"SELECT r.rolname, r.rolsuper, r.rolinherit,
  r.rolcreaterole, r.rolcreatedb, r.rolcanlogin,
  r.rolconnlimit, r.rolvaliduntil,
  ARRAY(SELECT b.rolname
        FROM pg_catalog.pg_auth_members m
        JOIN pg_catalog.pg_roles b ON (m.roleid = b.oid)
        WHERE m.member = r.oid) as memberof
, r.rolreplication
, r.rolbypassrls
FROM pg_catalog.pg_roles r
WHERE r.rolname !~ '^pg_'
ORDER BY 1;"#,
        &expect![[r#"
            rolname:19|rolsuper:16|rolinherit:16|rolcreaterole:16|rolcreatedb:16|rolcanlogin:16|rolconnlimit:23|rolvaliduntil:1184|memberof:1003|rolreplication:16|rolbypassrls:16
            postgres|t|t|t|t|t|-1|∅|{}|t|t"#]],
    );
}

/// What psql 15 sends for `\df`.
#[test]
fn list_functions() {
    check(
        r#"SELECT n.nspname as "Schema",
  p.proname as "Name",
  pg_catalog.pg_get_function_result(p.oid) as "Result data type",
  pg_catalog.pg_get_function_arguments(p.oid) as "Argument data types",
 CASE p.prokind
  WHEN 'a' THEN 'agg'
  WHEN 'w' THEN 'window'
  WHEN 'p' THEN 'proc'
  ELSE 'func'
 END as "Type"
FROM pg_catalog.pg_proc p
     LEFT JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace
WHERE pg_catalog.pg_function_is_visible(p.oid)
      AND n.nspname <> 'pg_catalog'
      AND n.nspname <> 'information_schema'
ORDER BY 1, 2, 4;"#,
        &expect!["Schema:19|Name:19|Result data type:25|Argument data types:25|Type:25"],
    );
}

#[test]
fn the_server_and_the_session() {
    check(
        "SELECT current_setting('server_version_num')::int/100 as version",
        &expect![[r#"
        version:23
        1500"#]],
    );
    check(
        "SELECT current_user, user, current_database(), current_schema(), current_schema, pg_backend_pid()",
        &expect![[r#"
        current_user:19|user:19|current_database:19|current_schema:19|current_schema:19|pg_backend_pid:23
        postgres|postgres|postgres|public|public|42"#]],
    );
    check(
        "SELECT current_schemas(true), current_schemas(false)",
        &expect![[r#"
        current_schemas:1003|current_schemas:1003
        {pg_catalog,public}|{public}"#]],
    );
    check("SELECT current_setting('nope')", &expect![[r#"42704 unrecognized configuration parameter "nope""#]]);
    check(
        "SELECT current_setting('nope', true), pg_postmaster_start_time()",
        &expect![[r#"
        current_setting:25|pg_postmaster_start_time:1184
        ∅|2024-01-01 00:58:20+01"#]],
    );
    let version = run("SELECT version()", &[]).unwrap().rows[0][0].text(25).unwrap();
    let start = concat!("PostgreSQL 15.0 (Plimsoll ", env!("CARGO_PKG_VERSION"), ") on ");
    assert!(version.starts_with(start), "{version}");
}

#[test]
fn set_config_is_left_to_the_session() {
    let answer = run("SELECT current_setting('jit') AS cur, set_config('jit', 'off', false) AS new", &[]).unwrap();
    assert_eq!(answer.settings, [("jit".to_owned(), "off".to_owned())]);
    assert_eq!(run("SELECT set_config('nope', 'x', false)", &[]).unwrap_err().sqlstate, "42704");
}

#[test]
fn columns_are_named_as_postgres_names_them() {
    check(
        "SELECT relname::text, relname::text, oid + 1, 'x', 1::oid, '{1}'::oid[], CASE WHEN true THEN 1 END, \
         CASE WHEN true THEN 'x' ELSE relname END, coalesce(relname, 'x'), ARRAY[1], ARRAY(SELECT 1), EXISTS (SELECT 1), \
         (SELECT max(oid) FROM pg_am WHERE false), count(*) FROM pg_class WHERE relname = 'cpu' GROUP BY oid, relname",
        &expect![[r#"
            relname:25|relname:25|?column?:20|?column?:25|oid:26|oid:1028|case:23|relname:19|coalesce:19|array:1007|array:1007|exists:16|max:26|count:20
            cpu|cpu|16385|x|1|{1}|1|x|cpu|{1}|{1}|t|∅|1"#]],
    );
}

#[test]
fn objects_have_names_and_numbers() {
    check(
        "SELECT 16384::regclass, 'cpu'::regclass::oid, '\"Disk IO\"'::regclass, 'pg_class'::regclass, 99999::regclass",
        &expect![[r#"
        regclass:2205|oid:26|regclass:2205|regclass:2205|regclass:2205
        cpu|16384|"Disk IO"|pg_class|99999"#]],
    );
    check(
        "SELECT 'int4'::regtype, '\"char\"'::regtype, 'double precision[]'::regtype::oid, 0::regtype",
        &expect![[r#"
        regtype:2206|regtype:2206|oid:26|regtype:2206
        integer|"char"|1022|-"#]],
    );
    check(
        "SELECT to_regclass('nope'), to_regtype('text'), 'information_schema'::regnamespace::oid",
        &expect![[r#"
        to_regclass:2205|to_regtype:2206|oid:26
        ∅|text|13207"#]],
    );
    check("SELECT 'nope'::regclass", &expect![[r#"42P01 relation "nope" does not exist at 8"#]]);
    check(
        "SELECT format_type(1043, 36), format_type(1184, NULL), format_type(1009, -1), format_type(99999, -1)",
        &expect![[r#"
        format_type:25|format_type:25|format_type:25|format_type:25
        character varying(32)|timestamp with time zone|text[]|???"#]],
    );
    check(
        "SELECT oid, relname FROM pg_class WHERE oid = 'cpu'::regclass",
        &expect![[r#"
        oid:26|relname:19
        16384|cpu"#]],
    );
}

#[test]
fn literals_and_parameters_take_the_type_they_meet() {
    check(
        "SELECT relname FROM pg_class WHERE oid = '16384' AND relkind = 'r' AND 'cpu' = relname",
        &expect![[r#"
        relname:19
        cpu"#]],
    );
    check(
        "SELECT relname FROM pg_class WHERE relkind = ANY (ARRAY['r']) AND relname = ANY ('{cpu,nope}')",
        &expect![[r#"
        relname:19
        cpu"#]],
    );
    check(
        "SELECT relname FROM pg_class WHERE oid = 'x'",
        &expect![[r#"22P02 invalid input syntax for type oid: "x" at 42"#]],
    );
    check(
        "SELECT relname FROM pg_class WHERE relname = 1",
        &expect!["42883 operator does not exist: name = integer at 36"],
    );
    let sql = "SELECT relname FROM pg_class WHERE oid = $1 AND relkind = ANY ($2) AND relname LIKE $3 LIMIT $4";
    let description = with_context(|context| describe(&parse(sql)[0], context, &[]).unwrap());
    assert_eq!(description.parameters, [26, 1002, 25, 20]);
    let kinds = Datum::array(18, vec![Datum::Char(b'r')]);
    check_with(
        sql,
        &[Datum::Int(16384), kinds, Datum::from("c%"), Datum::Int(5)],
        &expect![[r#"
        relname:19
        cpu"#]],
    );
    let by_name = "SELECT attname FROM pg_attribute WHERE attrelid = $1::regclass::oid AND attnum < 3 ORDER BY attnum";
    check_with(
        by_name,
        &[Datum::from("cpu")],
        &expect![[r#"
        attname:19
        time
        hostname"#]],
    );
    assert_eq!(run(sql, &[]).unwrap_err().sqlstate, "08P01");
}

#[test]
fn joins_keep_unmatched_rows_where_they_should() {
    check(
        "SELECT a.amname, l.lanname FROM pg_am a LEFT JOIN pg_language l ON l.oid = a.oid + 10 ORDER BY 1",
        &expect![[r#"
        amname:19|lanname:19
        btree|∅
        heap|internal"#]],
    );
    check(
        "SELECT a.amname, l.lanname FROM pg_am a RIGHT JOIN pg_language l ON l.oid = a.oid + 10 ORDER BY 2",
        &expect![[r#"
        amname:19|lanname:19
        ∅|c
        heap|internal
        ∅|sql"#]],
    );
    check(
        "SELECT a.amname, l.lanname FROM pg_am a FULL JOIN pg_language l ON l.oid = a.oid + 10 ORDER BY 1, 2",
        &expect![[r#"
        amname:19|lanname:19
        btree|∅
        heap|internal
        ∅|c
        ∅|sql"#]],
    );
    check(
        "SELECT a.amname FROM pg_am a LEFT JOIN pg_language l ON false WHERE l.oid IS NULL ORDER BY 1 DESC",
        &expect![[r#"
        amname:19
        heap
        btree"#]],
    );
    check(
        "SELECT * FROM pg_am a JOIN pg_am b USING (oid, amname) WHERE amname = 'heap'",
        &expect![[r#"
        oid:26|amname:19|amhandler:24|amtype:18|amhandler:24|amtype:18
        2|heap|-|t|-|t"#]],
    );
    check(
        "SELECT c.relname, n FROM pg_class c, LATERAL (SELECT count(*) n FROM pg_attribute WHERE attrelid = c.oid) x WHERE c.relname = 'cpu'",
        &expect![[r#"
        relname:19|n:20
        cpu|6"#]],
    );
    check(
        "SELECT n.nspname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace AND n.nspname = 'public'",
        &expect![[r#"
        nspname:19
        public
        public"#]],
    );
}

#[test]
fn sub_queries_see_the_levels_around_them() {
    check(
        "SELECT nspname, (SELECT count(*) FROM pg_class c WHERE c.relnamespace = n.oid AND EXISTS \
         (SELECT FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attname = 'hostname' AND n.nspname = 'public')) \
         FROM pg_namespace n ORDER BY 1",
        &expect![[r#"
            nspname:19|count:20
            information_schema|0
            kpi|0
            ops|0
            pg_catalog|0
            pg_toast|0
            public|1
            sla|0
            slo|0
            sys|0"#]],
    );
    check("SELECT amname FROM pg_am WHERE oid NOT IN (SELECT NULL::oid)", &expect!["amname:19"]);
    check(
        "SELECT amname FROM pg_am WHERE (oid, amname) IN (SELECT oid, amname FROM pg_am WHERE amtype = 't')",
        &expect![[r#"
        amname:19
        heap"#]],
    );
    check(
        "SELECT (SELECT oid FROM pg_am)",
        &expect!["21000 more than one row returned by a subquery used as an expression"],
    );
}

#[test]
fn groups_sets_and_orders() {
    check(
        "SELECT relkind, count(*), min(relname) FROM pg_class WHERE relnamespace = 2200 GROUP BY 1 HAVING count(*) > 1",
        &expect![[r#"
        relkind:18|count:20|min:19
        r|2|Disk IO"#]],
    );
    check(
        "SELECT count(*), max(oid), array_agg(oid), string_agg(amname, ',') FROM pg_am WHERE false",
        &expect![[r#"
        count:20|max:26|array_agg:1028|string_agg:25
        0|∅|∅|∅"#]],
    );
    check(
        "SELECT array_agg(oid ORDER BY oid DESC) FILTER (WHERE oid > 3), string_agg(amname, '+' ORDER BY amname) FROM pg_am",
        &expect![[r#"
        array_agg:1028|string_agg:25
        {403}|btree+heap"#]],
    );
    check(
        "SELECT relname, count(*) FROM pg_class",
        &expect![[
            r#"42803 column "pg_class.relname" must appear in the GROUP BY clause or be used in an aggregate function"#
        ]],
    );
    check(
        "SELECT unnest(ARRAY[1,2,3]), unnest(ARRAY['a','b']) FROM pg_am WHERE oid = 2",
        &expect![[r#"
        unnest:23|unnest:25
        1|a
        2|b
        3|∅"#]],
    );
    check(
        "SELECT i, s[i] FROM generate_series(1, 2) i, string_to_array('a,b', ',') s, pg_am WHERE oid = 2",
        &expect![[r#"
        i:23|s:25
        1|a
        2|b"#]],
    );
    check(
        "SELECT x, n FROM unnest(ARRAY['a','b']) WITH ORDINALITY AS u(x, n), pg_am WHERE oid = 2",
        &expect![[r#"
        x:25|n:20
        a|1
        b|2"#]],
    );
    check(
        "SELECT amname FROM pg_am UNION SELECT NULL UNION ALL SELECT 'x' ORDER BY 1 NULLS FIRST",
        &expect![[r#"
        amname:19
        ∅
        btree
        heap
        x"#]],
    );
    check(
        "SELECT DISTINCT ON (relkind) relkind, relname FROM pg_class WHERE relnamespace = 2200 ORDER BY 1, 2 DESC",
        &expect![[r#"
        relkind:18|relname:19
        r|cpu"#]],
    );
    check(
        "SELECT row_number() OVER (PARTITION BY relkind ORDER BY relname DESC), relname FROM pg_class WHERE relnamespace = 2200",
        &expect![[r#"
        row_number:20|relname:19
        1|cpu
        2|Disk IO"#]],
    );
    check(
        "SELECT * FROM (VALUES ('a', '1184'::oid, -1), ('b', '701', 2)) v(n, t, m) WHERE format_type(t, m) LIKE 'd%'",
        &expect![[r#"
        n:25|t:26|m:23
        b|701|2"#]],
    );
    check("SELECT amname FROM pg_am ORDER BY 2", &expect!["42P10 ORDER BY position 2 is not in select list"]);
}

#[test]
fn common_table_expressions_and_recursion() {
    check(
        "WITH a AS (SELECT oid FROM pg_am), b(o) AS (SELECT oid FROM a) SELECT max(o) FROM b, pg_language",
        &expect![[r#"
        max:26
        403"#]],
    );
    check(
        "WITH RECURSIVE t(n, parent) AS (SELECT 1, 0 UNION ALL SELECT n + 1, n FROM t WHERE n < 4) SELECT sum(n), max(parent) FROM t, pg_am WHERE oid = 2",
        &expect![[r#"
            sum:20|max:23
            10|3"#]],
    );
    check(
        "WITH RECURSIVE t(n) AS (SELECT 1 UNION SELECT (n % 3) + 1 FROM t) SELECT n FROM t, pg_am WHERE oid = 2 ORDER BY 1",
        &expect![[r#"
        n:23
        1
        2
        3"#]],
    );
}

#[test]
fn three_valued_logic() {
    check(
        "SELECT NULL AND false, NULL OR true, NOT (NULL::bool), NULL = NULL, NULL IS NOT DISTINCT FROM NULL, \
         1 = ANY (ARRAY[2, NULL]), 1 <> ALL (ARRAY[2, NULL]), 1 IN (2, NULL), (NULL::bool) IS UNKNOWN FROM pg_am WHERE oid = 2",
        &expect![[r#"
            ?column?:16|?column?:16|?column?:16|?column?:16|?column?:16|?column?:16|?column?:16|?column?:16|?column?:16
            f|t|∅|∅|t|∅|∅|∅|t"#]],
    );
}

#[test]
fn errors_say_what_and_where() {
    check("SELECT relname,\n  nope FROM pg_class", &expect![[r#"42703 column "nope" does not exist at 19"#]]);
    check("SELECT * FROM pg_catalog.nope", &expect![[r#"42P01 relation "pg_catalog.nope" does not exist at 15"#]]);
    check("SELECT x.relname FROM pg_class", &expect![[r#"42P01 missing FROM-clause entry for table "x" at 8"#]]);
    check("SELECT oid FROM pg_class a, pg_class b", &expect![[r#"42702 column reference "oid" is ambiguous at 8"#]]);
    check("SELECT pg_catalog.nope(1)", &expect!["42883 function nope(integer) does not exist at 8"]);
    check("SELECT 1 / 0 FROM pg_am", &expect!["22012 division by zero"]);
    check(
        "SELECT amname FROM pg_am WHERE oid",
        &expect!["42804 argument of WHERE must be type boolean, not type oid at 32"],
    );
    check("SELECT * FROM pg_class a, pg_class a", &expect![[r#"42712 table name "a" specified more than once"#]]);
    check("SELECT 'a'::name ~ '('", &expect!["2201B invalid regular expression: unclosed group"]);
}

#[test]
fn who_answers_is_decided_by_what_is_mentioned() {
    for (sql, ours) in [
        ("SELECT 1 + 1", false),
        ("SELECT now()", false),
        ("SELECT lower('A'), count(*)", false),
        ("SELECT * FROM cpu", false),
        ("SELECT 'pg_class' FROM cpu", false),
        ("SELECT * FROM cpu JOIN pg_class ON true", false),
        ("SELECT time_bucket('1m', now()), version()", false),
        ("SELECT * FROM generate_series(1, 3)", false),
        ("INSERT INTO cpu VALUES (1)", false),
        ("SELECT version()", true),
        ("SELECT now(), current_database()", true),
        ("SELECT current_schema", true),
        ("SELECT 'cpu'::regclass", true),
        ("SELECT * FROM pg_class", true),
        ("SELECT * FROM PG_CATALOG.pg_class", true),
        ("SELECT * FROM information_schema.TABLES", true),
        ("SELECT * FROM pg_catalog.nope", true),
        ("WITH cpu AS (SELECT oid FROM pg_class) SELECT * FROM cpu", true),
        ("SELECT format_type(tp, -1) FROM (VALUES (25)) s(tp)", true),
        ("SELECT pg_catalog.lower('A')", true),
    ] {
        assert_eq!(concerns(&parse(sql)[0]), ours, "{sql}");
    }
}

#[test]
fn nothing_is_without_a_bound() {
    let nested = |depth: usize| format!("SELECT version() WHERE {}", "1 + ".repeat(depth) + "1 > 0");
    assert!(run(&nested(80), &[]).is_ok());
    let sub_queries =
        |depth: usize| format!("SELECT version() WHERE 1 = {}1{}", "(SELECT ".repeat(depth), ")".repeat(depth));
    assert!(run(&sub_queries(20), &[]).is_ok());
    let code = |sql: &str| run(sql, &[]).unwrap_err().sqlstate;
    assert_eq!(code(&nested(1000)), "54001");
    // A chain of OR is flat, whatever its length.
    assert!(run(&format!("SELECT version() WHERE {}true", "1 = 2 OR ".repeat(2000)), &[]).is_ok());
    assert_eq!(code("SELECT * FROM generate_series(1, 100000000) g, pg_am"), "54000");
    assert_eq!(code("SELECT count(*) FROM pg_attribute a, pg_attribute b, pg_attribute c"), "54000");
    assert_eq!(code("WITH RECURSIVE t AS (SELECT 1 n UNION ALL SELECT n FROM t) SELECT * FROM t, pg_am"), "54000");
    assert_eq!(
        code("WITH RECURSIVE t AS (SELECT 'aaaa' s UNION ALL SELECT s || s FROM t) SELECT length(s) FROM t, pg_am"),
        "54000"
    );
    assert_eq!(code("SELECT quote_ident(repeat('a', 2000000000))"), "54000");
}

/// The queries that real clients were seen to send. They name a view and a function of the server they were captured on.
#[test]
fn captured_client_queries() {
    let default = concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/design");
    let folder = std::env::var_os("PLIMSOLL_FIXTURES").map_or_else(|| PathBuf::from(default), PathBuf::from);
    let Ok(text) = std::fs::read_to_string(folder.join("clients-queries.sql")) else {
        say(&format!("skipped: no clients-queries.sql in {}", folder.display()));
        return;
    };
    let mut counts: BTreeMap<String, (usize, usize)> = BTreeMap::new();
    let mut failures = Vec::new();
    for (client, sql) in captured(&text.replace("$OID", "16384")) {
        for statement in parse(&sql).iter().filter(|statement| concerns(statement)) {
            let result = with_context(|context| {
                let parameters = describe(statement, context, &[])?.parameters;
                execute(statement, context, &[], &vec![Datum::Null; parameters.len()])
            });
            let count = counts.entry(client.clone()).or_default();
            match result {
                Ok(_) => count.0 += 1,
                Err(error) if ["\"f1\"", "\"v_cpu\""].iter().any(|absent| error.message.contains(absent)) => {
                    count.0 += 1;
                }
                Err(error) => {
                    count.1 += 1;
                    failures.push(format!("{client}: {error}\n{sql}"));
                }
            }
        }
    }
    for (client, (ok, err)) in &counts {
        say(&format!("{client}: {ok} ok, {err} err"));
    }
    assert!(failures.is_empty(), "{}", failures.join("\n\n"));
}

/// Client and text of each query: sections open with `-- CLIENT:`, queries end at a blank line before the next tag.
fn captured(text: &str) -> Vec<(String, String)> {
    let (mut client, mut sql, mut queries) = (String::new(), String::new(), Vec::new());
    for line in text.lines().chain(["-- @ end"]) {
        if line.starts_with("-- @") || line.starts_with("-- CLIENT:") {
            let query = std::mem::take(&mut sql);
            if !query.trim().is_empty() {
                queries.push((client.clone(), query));
            }
        }
        match line.strip_prefix("-- CLIENT:") {
            Some(name) => client = name.trim().to_owned(),
            None if line.starts_with("--") => {}
            None => sql.extend([line, "\n"]),
        }
    }
    queries
}

#[expect(clippy::print_stdout, reason = "a skipped test says so")]
fn say(line: &str) {
    println!("{line}");
}
