//! What a Markdown document names: quoted code, links, and its own headings.

use std::collections::BTreeSet;

use pulldown_cmark::{Event, Options, Parser, Tag, TagEnd};

/// The parts of a document that refer to something, or are referred to.
#[derive(Debug, Default)]
pub(crate) struct Document {
    /// What stands in backticks, code blocks left out.
    pub(crate) quoted: Vec<Mention>,
    /// The targets of links and pictures, those of other sites left out.
    pub(crate) links: Vec<Mention>,
    /// The names by which links lead to its headings.
    pub(crate) headings: BTreeSet<String>,
}

/// A text in a document.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Mention {
    /// The line that it begins in, the first being 1.
    pub(crate) line: usize,
    pub(crate) text: String,
}

impl Document {
    pub(crate) fn parse(markdown: &str) -> Self {
        let mut document = Self::default();
        let mut heading: Option<String> = None;
        for (event, range) in Parser::new_ext(markdown, Options::ENABLE_TABLES).into_offset_iter() {
            let mention = |text: &str| Mention {
                line: 1 + markdown[..range.start].matches('\n').count(),
                text: text.to_owned(),
            };
            if let Event::Code(text) = &event {
                document.quoted.push(mention(text));
            }
            if let Event::Code(text) | Event::Text(text) = &event
                && let Some(heading) = &mut heading
            {
                heading.push_str(text);
            }
            if let Event::Start(Tag::Link { dest_url, .. } | Tag::Image { dest_url, .. }) = &event
                && !dest_url.contains(':')
            {
                document.links.push(mention(dest_url));
            }
            if let Event::Start(Tag::Heading { .. }) = &event {
                heading = Some(String::new());
            }
            if let Event::End(TagEnd::Heading(_)) = &event
                && let Some(heading) = heading.take()
            {
                document.add_heading(&heading);
            }
        }
        document
    }

    /// Adds a heading under the name that GitHub makes of it; the second of a name gets a number.
    fn add_heading(&mut self, heading: &str) {
        let name: String = heading
            .trim()
            .chars()
            .filter(|c| c.is_alphanumeric() || " -_".contains(*c))
            .map(|c| if c == ' ' { '-' } else { c })
            .flat_map(char::to_lowercase)
            .collect();
        let mut unique = name.clone();
        let mut number = 0;
        while !self.headings.insert(unique.clone()) {
            number += 1;
            unique = format!("{name}-{number}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headings_are_named_as_github_names_them() {
        let text = "# What became of a packet?\n\n## `--maxheap`, in MiB\n\n## Same\n\n## Same\n";
        let headings = Document::parse(text).headings;
        let expected = [
            "--maxheap-in-mib",
            "same",
            "same-1",
            "what-became-of-a-packet",
        ];
        assert_eq!(headings.into_iter().collect::<Vec<_>>(), expected);
    }

    #[test]
    fn code_and_links_are_found_with_their_lines() {
        let text = "a `b`\n\n- [`c`](d.md)\n\n```\n`e`\n```\n\n![f](g.svg) [h](https://i)\n";
        let document = Document::parse(text);
        let lines = |mentions: Vec<Mention>| -> Vec<_> {
            let pairs = mentions.into_iter();
            pairs.map(|mention| (mention.line, mention.text)).collect()
        };
        let [b, c] = [(1, "b".to_owned()), (3, "c".to_owned())];
        assert_eq!(lines(document.quoted), [b, c]);
        let [d, g] = [(3, "d.md".to_owned()), (9, "g.svg".to_owned())];
        assert_eq!(lines(document.links), [d, g]);
    }
}
