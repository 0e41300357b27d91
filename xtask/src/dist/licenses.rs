//! The licenses of what is linked in, as these ask for: each text once, with those that it is of.

use std::{collections::BTreeMap, fmt::Write as _, path::Path};

use anyhow::{Result, bail};

use super::{library::Library, parts::Part};

/// What a crate under the MIT license alone passes on that has no text with it; its authors come first.
const MIT: &str = "\
Permission is hereby granted, free of charge, to any person obtaining a copy of this software and associated
documentation files (the \"Software\"), to deal in the Software without restriction, including without limitation
the rights to use, copy, modify, merge, publish, distribute, sublicense, and/or sell copies of the Software, and to
permit persons to whom the Software is furnished to do so, subject to the following conditions:

The above copyright notice and this permission notice shall be included in all copies or substantial portions of
the Software.

THE SOFTWARE IS PROVIDED \"AS IS\", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR IMPLIED, INCLUDING BUT NOT LIMITED TO
THE WARRANTIES OF MERCHANTABILITY, FITNESS FOR A PARTICULAR PURPOSE AND NONINFRINGEMENT. IN NO EVENT SHALL THE
AUTHORS OR COPYRIGHT HOLDERS BE LIABLE FOR ANY CLAIM, DAMAGES OR OTHER LIABILITY, WHETHER IN AN ACTION OF CONTRACT,
TORT OR OTHERWISE, ARISING FROM, OUT OF OR IN CONNECTION WITH THE SOFTWARE OR THE USE OR OTHER DEALINGS IN THE
SOFTWARE.
";
/// What the C library's license asks for besides: that another one can be put in.
const C_LIBRARY: &str = "\
packet-headers is linked statically with the GNU C library, which is under the GNU Lesser General Public License,
version 2.1 or later. The program's source is under the Apache License, and `cargo xtask build` links it with the C
library that the machine has.
";
const RULE: &str =
    "--------------------------------------------------------------------------------";

/// What is linked into a binary and under which licenses, with all their texts. `own` is ours.
pub(crate) fn third_party(parts: &[Part], libraries: &[Library], own: &Path) -> Result<String> {
    let foreign = || parts.iter().filter(|part| !part.is_own());
    let mut document =
        String::from("What is linked into packet-headers, and under which licenses.\n\n");
    for part in foreign() {
        writeln!(document, "{} {}: {}", part.name, part.version, part.license)?;
    }
    for library in libraries {
        writeln!(
            document,
            "{} {}: {}",
            library.name, library.version, library.license
        )?;
    }
    write!(document, "\n{C_LIBRARY}")?;
    for Text { text, of } in texts(foreign(), own)?.into_values() {
        write!(
            document,
            "\n{RULE}\n{}\n{RULE}\n\n{}\n",
            of.join("\n"),
            text.trim_end()
        )?;
    }
    Ok(document)
}

/// A text, and the crates that it is of.
struct Text {
    text: String,
    of: Vec<String>,
}

/// Each text, by its words: layouts differ.
fn texts<'a>(
    parts: impl Iterator<Item = &'a Part>,
    own: &Path,
) -> Result<BTreeMap<Vec<String>, Text>> {
    let mut texts = BTreeMap::new();
    for part in parts {
        let mut given: Vec<_> = part.license_texts()?.into_values().collect();
        if given.is_empty() {
            given.push(text_of(part, own)?);
        }
        for text in given {
            let words = text.split_whitespace().map(str::to_owned).collect();
            let of = Vec::new();
            let known: &mut Text = texts.entry(words).or_insert(Text { text, of });
            known.of.push(format!("{} {}", part.name, part.version));
        }
    }
    Ok(texts)
}

/// The text for a crate that comes without one.
fn text_of(part: &Part, own: &Path) -> Result<String> {
    let offers = |license| part.license.split(" OR ").any(|offered| offered == license);
    if offers("Apache-2.0") {
        Ok(std::fs::read_to_string(own)?)
    } else if offers("MIT") {
        Ok(format!("Copyright (c) {}\n\n{MIT}", part.authors))
    } else {
        bail!(
            "{} comes without the text of its license, {}",
            part.name,
            part.license
        )
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use tempfile::TempDir;

    use super::*;

    fn part(home: &TempDir, name: &str, license: &str, text: Option<&str>) -> Part {
        let directory = home.path().join(name);
        fs::create_dir(&directory).unwrap();
        if let Some(text) = text {
            fs::write(directory.join("LICENSE"), text).unwrap();
        }
        Part {
            name: name.to_owned(),
            version: "1.0.0".to_owned(),
            license: license.to_owned(),
            authors: "Somebody".to_owned(),
            checksum: Some("ab".to_owned()),
            directory,
            uses: Vec::new(),
        }
    }

    #[test]
    fn a_text_that_several_have_is_there_once() {
        let home = TempDir::new().unwrap();
        let own = home.path().join("LICENSE");
        fs::write(&own, "the Apache License").unwrap();
        let parts = [
            part(&home, "one", "MIT", Some("Copyright A\n\nfree")),
            part(&home, "two", "MIT", Some("Copyright A\nfree\n")),
            part(&home, "three", "BSD-3-Clause", Some("Copyright B\nfree")),
        ];
        let made = third_party(&parts, &[], &own).unwrap();
        assert_eq!(made.matches("Copyright A").count(), 1, "{made}");
        assert!(made.contains("\none 1.0.0\ntwo 1.0.0\n"), "{made}");
        assert!(made.contains("three 1.0.0: BSD-3-Clause"), "{made}");
    }

    #[test]
    fn a_crate_without_a_text_has_that_of_a_license_it_offers() {
        let home = TempDir::new().unwrap();
        let own = home.path().join("LICENSE");
        fs::write(&own, "the Apache License").unwrap();
        let text = |part: Part| third_party(&[part], &[], &own);
        let made = text(part(&home, "one", "MIT OR Apache-2.0", None)).unwrap();
        assert!(made.contains("the Apache License"), "{made}");
        let made = text(part(&home, "two", "MIT", None)).unwrap();
        assert!(
            made.contains("Copyright (c) Somebody\n\nPermission"),
            "{made}"
        );
        assert!(text(part(&home, "three", "ISC", None)).is_err());
    }
}
