//! docs/rows.md has the columns as they are.

use std::{env, fmt::Write as _, fs, path::Path};

use crate::{COLUMNS, Column};

const BEGIN: &str = "<!-- columns -->\n";
const END: &str = "<!-- /columns -->\n";

/// The columns of the connection, and those that each end has, without the prefix.
fn tables() -> String {
    let of_an_end = |column: &&Column| {
        let end = column
            .name
            .split_once('_')
            .filter(|(end, _)| matches!(*end, "client" | "server"));
        let other = end.map(|(end, rest)| {
            format!(
                "{}_{rest}",
                if end == "client" { "server" } else { "client" }
            )
        });
        // Not addresses and ports.
        other.is_some_and(|other| COLUMNS.iter().any(|column| column.name == other))
            && !column.name.ends_with("_ip")
            && !column.name.ends_with("_port")
            && !column.name.ends_with("_datagrams")
    };
    let begins = |prefix| move |column: &&Column| column.name.starts_with(prefix);
    let own = COLUMNS.iter().filter(|column| !of_an_end(column));
    let (kernel, own): (Vec<_>, Vec<_>) = own.partition(begins("kernel_"));
    let (owner, own): (Vec<_>, Vec<_>) = own.into_iter().partition(begins("owner_"));
    let (icmp, own): (Vec<_>, Vec<_>) = own.into_iter().partition(begins("icmp_"));
    let (quic, own): (Vec<_>, Vec<_>) = own.into_iter().partition(begins("quic_"));
    let ends: Vec<_> = COLUMNS.iter().filter(of_an_end).collect();
    let (client, server) = ends.split_at(ends.len() / 2);
    for (client, server) in client.iter().zip(server) {
        let names =
            [client, server].map(|column| column.name.split_once('_').map(|(_, name)| name));
        assert_eq!(names[0], names[1]);
        assert_eq!(client.definition, server.definition);
    }
    let mut text = String::from("### Of the connection\n\n");
    table(&mut text, &own, "");
    text += "\n### Of each end, as `client_…` and `server_…`\n\n";
    table(&mut text, client, "client_");
    text += "\n### Of the kernel of one end, as `kernel_…`\n\n";
    table(&mut text, &kernel, "kernel_");
    text += "\n### Of the process at one end, as `owner_…`\n\n";
    table(&mut text, &owner, "owner_");
    text += "\n### Of ICMP errors about the connection, as `icmp_…`\n\n";
    table(&mut text, &icmp, "icmp_");
    text += "\n### Of QUIC, as `quic_…`\n\n";
    table(&mut text, &quic, "quic_");
    text
}

fn table(text: &mut String, columns: &[&Column], prefix: &str) {
    *text += "| column | unit | definition | source, and the name elsewhere |\n| --- | --- | --- | --- |\n";
    for column in columns {
        let name = column.name.strip_prefix(prefix).unwrap_or(column.name);
        let (unit, definition, source) = (column.unit(), column.definition, column.source);
        let definition = definition.split_whitespace().collect::<Vec<_>>().join(" ");
        writeln!(text, "| `{name}` | {unit} | {definition} | {source} |").unwrap();
    }
}

#[test]
fn rows_md_has_the_columns() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/rows.md");
    let page = fs::read_to_string(&path).unwrap();
    let (before, rest) = page.split_once(BEGIN).expect("the tables begin");
    let (found, behind) = rest.split_once(END).expect("the tables end");
    let tables = tables();
    if env::var_os("UPDATE_DOCS").is_some() {
        fs::write(&path, [before, BEGIN, &tables, END, behind].concat()).unwrap();
    } else {
        assert!(
            found == tables,
            "docs/rows.md has other columns: `UPDATE_DOCS=1 cargo test -p flow-stats rows_md`"
        );
    }
}
