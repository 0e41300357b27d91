//! docs/fleet/bigquery.json has the columns as they are.

use std::{env, fs, path::Path};

use flow_stats::{COLUMNS, Kind};

/// The longest description that BigQuery takes, in characters.
const LONGEST: usize = 1_024;

/// The schema as BigQuery reads it, a line for each column.
fn schema() -> String {
    let columns = COLUMNS.iter().map(|column| {
        let kind = match column.kind {
            Kind::Text => "STRING",
            Kind::Flag => "BOOLEAN",
            Kind::Count => "INTEGER",
            Kind::Time => "TIMESTAMP",
        };
        let mode = if column.optional {
            "NULLABLE"
        } else {
            "REQUIRED"
        };
        let words: Vec<_> = column.definition.split_whitespace().collect();
        let definition = words.join(" ");
        assert!(definition.chars().count() <= LONGEST, "{}", column.name);
        let quoted =
            [column.name, kind, mode, &definition].map(|text| serde_json::to_string(text).unwrap());
        let [name, kind, mode, definition] = quoted;
        format!(
            r#"  {{"name": {name}, "type": {kind}, "mode": {mode}, "description": {definition}}}"#
        )
    });
    format!("[\n{}\n]\n", columns.collect::<Vec<_>>().join(",\n"))
}

#[test]
fn bigquery_json_has_the_columns() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/fleet/bigquery.json");
    if env::var_os("UPDATE_DOCS").is_some() {
        fs::write(&path, schema()).unwrap();
    } else {
        assert!(
            fs::read_to_string(&path).unwrap() == schema(),
            "docs/fleet/bigquery.json has other columns: `UPDATE_DOCS=1 cargo test -p row-formats bigquery`"
        );
    }
}
