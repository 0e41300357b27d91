//! The bill of materials of a binary, in CycloneDX 1.5: what is linked into it, and nothing that only builds it.
//!
//! <https://cyclonedx.org/docs/1.5/json/>

use anyhow::Result;
use serde_json::{Value, json};

use super::{library::Library, parts::Part};

/// What the bill is of.
pub(crate) struct Product<'a> {
    /// The package that is the program.
    pub(crate) name: &'a str,
    pub(crate) version: &'a str,
    /// What it is built for.
    pub(crate) target: &'a str,
    /// Of the file.
    pub(crate) sha256: &'a str,
    /// When its source was last changed, in RFC 3339.
    pub(crate) time: &'a str,
}

/// The bill as JSON. The same parts have the same bill: it has no number of its own.
pub(crate) fn bill(product: &Product<'_>, parts: &[Part], libraries: &[Library]) -> Result<String> {
    let own = |part: &&Part| part.name == product.name;
    let of_parts = parts.iter().filter(|part| !own(part)).map(component);
    let components: Vec<_> = of_parts.chain(libraries.iter().map(of_library)).collect();
    let bill = json!({
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "metadata": {
            "timestamp": product.time,
            "component": {
                "type": "application",
                "bom-ref": reference(product.name, product.version),
                "name": product.name,
                "version": product.version,
                "purl": reference(product.name, product.version),
                "licenses": [{ "expression": "Apache-2.0" }],
                "hashes": [{ "alg": "SHA-256", "content": product.sha256 }],
                "properties": [{ "name": "target", "value": product.target }],
            },
        },
        "components": components,
        "dependencies": parts.iter().map(|part| {
            let own = part.name == product.name;
            dependency(part, if own { libraries } else { &[] })
        }).collect::<Vec<_>>(),
    });
    Ok(serde_json::to_string_pretty(&bill)? + "\n")
}

/// A package as others refer to it: <https://github.com/package-url/purl-spec>
fn reference(name: &str, version: &str) -> String {
    format!("pkg:cargo/{name}@{}", version.replace('+', "%2B"))
}

fn component(part: &Part) -> Value {
    let reference = reference(&part.name, &part.version);
    let hashes = part
        .checksum
        .iter()
        .map(|sum| json!({ "alg": "SHA-256", "content": sum }));
    json!({
        "type": "library",
        "bom-ref": reference,
        "name": part.name,
        "version": part.version,
        "purl": reference,
        "scope": "required",
        "licenses": [{ "expression": part.license }],
        "hashes": hashes.collect::<Vec<_>>(),
    })
}

fn of_library(library: &Library) -> Value {
    json!({
        "type": "library",
        "bom-ref": library.reference(),
        "name": library.name,
        "version": library.version,
        "scope": "required",
        "licenses": [{ "expression": library.license }],
    })
}

fn dependency(part: &Part, libraries: &[Library]) -> Value {
    let uses = part
        .uses
        .iter()
        .map(|(name, version)| reference(name, version));
    let uses: Vec<_> = uses
        .chain(libraries.iter().map(Library::reference))
        .collect();
    json!({ "ref": reference(&part.name, &part.version), "dependsOn": uses })
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    fn part(name: &str, checksum: Option<&str>, uses: &[&str]) -> Part {
        let named = |name: &&str| ((*name).to_owned(), "1.0.0+x".to_owned());
        Part {
            name: name.to_owned(),
            version: "1.0.0+x".to_owned(),
            license: "MIT OR Apache-2.0".to_owned(),
            authors: String::new(),
            checksum: checksum.map(str::to_owned),
            directory: PathBuf::new(),
            uses: uses.iter().map(named).collect(),
        }
    }

    #[test]
    fn a_bill_has_what_is_linked_and_how_it_hangs_together() {
        let product = Product {
            name: "program",
            version: "1.0.0+x",
            target: "x86_64-unknown-linux-gnu",
            sha256: "cafe",
            time: "2026-01-02T03:04:05Z",
        };
        let parts = [
            part("aya", Some("ab12"), &[]),
            part("program", None, &["aya"]),
        ];
        let libraries = [Library {
            name: "glibc",
            version: "2.36".to_owned(),
            license: "LGPL-2.1-or-later",
        }];
        let made = bill(&product, &parts, &libraries).unwrap();
        assert_eq!(made, bill(&product, &parts, &libraries).unwrap());
        let read: Value = serde_json::from_str(&made).unwrap();
        let names = |list: &Value| {
            let list = list.as_array().unwrap().iter();
            list.map(|one| one["name"].as_str().unwrap().to_owned())
                .collect::<Vec<_>>()
        };
        assert_eq!(names(&read["components"]), ["aya", "glibc"]);
        let aya = &read["components"][0];
        assert_eq!(aya["purl"], "pkg:cargo/aya@1.0.0%2Bx");
        assert_eq!(aya["hashes"][0]["content"], "ab12");
        assert_eq!(aya["licenses"][0]["expression"], "MIT OR Apache-2.0");
        let program = &read["dependencies"][1];
        assert_eq!(program["ref"], read["metadata"]["component"]["bom-ref"]);
        assert_eq!(
            program["dependsOn"],
            json!(["pkg:cargo/aya@1.0.0%2Bx", "library:glibc@2.36"])
        );
    }
}
