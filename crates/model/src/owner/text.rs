//! An owner as a line of text, and back.
//!
//! `owner.uid=33 owner.pid=812 owner.process=nginx owner.cgroup=/system.slice/nginx.service`: words between
//! spaces, each a name and a value. What processes and cgroups call themselves is theirs to choose, so of their
//! names only printing ASCII characters stand for themselves, without spaces, quotes and `%`. Each byte of all
//! others, in UTF-8, is `%` and two hexadecimal digits (RFC 3986, 2.1).

use std::fmt::{self, Write as _};

use super::Owner;
use super::bounded::{LONGEST_NAME, name_of, path_of};

/// What each field's name begins with.
const PREFIX: &str = "owner.";

/// `owner.uid=33 owner.pid=812 …`: every field whose value is known, as far as it is
/// [`bounded`](Owner::bounded): some 3 KiB at most.
impl fmt::Display for Owner {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            uid,
            pid,
            process,
            cgroup,
        } = self;
        write!(out, "{PREFIX}uid={uid}")?;
        if let Some(pid) = pid {
            write!(out, " {PREFIX}pid={pid}")?;
        }
        if let Some(name) = process {
            write!(out, " {PREFIX}process=")?;
            escape(name_of(name), out)?;
        }
        if let Some(path) = cgroup {
            write!(out, " {PREFIX}cgroup=")?;
            escape(&path_of(path), out)?;
        }
        Ok(())
    }
}

impl Owner {
    /// Reads what [`Display`](fmt::Display) has written out of a text, whatever else is in it. `None` if it names no
    /// user. Names that are not known are passed over, and so are values that no owner has; of a cgroup's path it
    /// has as much as is [`bounded`](Self::bounded).
    #[must_use]
    pub fn from_text(text: &str) -> Option<Self> {
        let (mut uid, mut pid, mut process, mut cgroup) = (None, None, None, None);
        for word in text.split_ascii_whitespace() {
            let field = word.strip_prefix(PREFIX).and_then(|it| it.split_once('='));
            match field {
                Some(("uid", value)) => uid = value.parse().ok(),
                Some(("pid", value)) => pid = value.parse().ok(),
                Some(("process", value)) => {
                    let name = unescape(value).filter(|name| name.len() <= LONGEST_NAME);
                    process = name.map(Into::into);
                }
                Some(("cgroup", value)) => {
                    let path = unescape(value).filter(|path| path.starts_with('/'));
                    cgroup = path.map(|path| path_of(&path).into());
                }
                Some(_) | None => {}
            }
        }
        Some(Self {
            uid: uid?,
            pid,
            process,
            cgroup,
        })
    }
}

fn stands_for_itself(byte: u8) -> bool {
    byte.is_ascii_graphic() && !matches!(byte, b'%' | b'"' | b'\'' | b'`')
}

fn escape(text: &str, out: &mut fmt::Formatter<'_>) -> fmt::Result {
    for byte in text.bytes() {
        if stands_for_itself(byte) {
            out.write_char(byte.into())?;
        } else {
            write!(out, "%{byte:02X}")?;
        }
    }
    Ok(())
}

/// What was escaped; `None` if that cannot be.
fn unescape(text: &str) -> Option<String> {
    let digit = |byte: u8| char::from(byte).to_digit(16);
    let mut bytes = Vec::with_capacity(text.len());
    let mut left = text.bytes();
    while let Some(byte) = left.next() {
        bytes.push(if byte == b'%' {
            let (high, low) = (digit(left.next()?)?, digit(left.next()?)?);
            u8::try_from(high << 4 | low).ok()?
        } else {
            byte
        });
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn nginx() -> Owner {
        Owner {
            uid: 33,
            pid: Some(812),
            process: Some("nginx".into()),
            cgroup: Some("/system.slice/nginx.service".into()),
        }
    }

    #[test]
    fn the_text_has_every_field_that_is_known_and_never_changes() {
        assert_eq!(
            nginx().to_string(),
            "owner.uid=33 owner.pid=812 owner.process=nginx owner.cgroup=/system.slice/nginx.service"
        );
        let bare = Owner {
            uid: u32::MAX,
            pid: None,
            process: None,
            cgroup: None,
        };
        assert_eq!(bare.to_string(), "owner.uid=4294967295");
        assert_eq!(Owner::from_text(&bare.to_string()), Some(bare));
    }

    #[test]
    fn names_that_mean_something_to_readers_or_terminals_are_escaped() {
        for (name, text) in [
            ("", ""),
            ("tmux: server", "tmux:%20server"),
            ("x owner.uid=0", "x%20owner.uid=0"),
            ("a\nb\u{1b}[31m", "a%0Ab%1B[31m"),
            ("\"'`%", "%22%27%60%25"),
            ("\u{202e}ä\u{7f}\u{9b}", "%E2%80%AE%C3%A4%7F%C2%9B"),
            (r"a\x2db(sd)$;&", r"a\x2db(sd)$;&"),
        ] {
            let owner = Owner {
                process: Some(name.into()),
                cgroup: Some(format!("/{name}").into()),
                ..nginx()
            };
            let written = owner.to_string();
            let want =
                format!("owner.uid=33 owner.pid=812 owner.process={text} owner.cgroup=/{text}");
            assert_eq!(written, want);
            assert_eq!(Owner::from_text(&written), Some(owner));
        }
    }

    #[test]
    fn a_text_may_have_more_or_less_than_is_known() {
        let text = format!("uuid=x {} owner.of_tomorrow=1 kernel.lost=2", nginx());
        assert_eq!(Owner::from_text(&text), Some(nginx()));
        assert_eq!(Owner::from_text("owner.pid=1 uid=3 owner.process=a"), None);
        assert_eq!(Owner::from_text("owner.uid=-1"), None);
        let bare = Owner {
            uid: 33,
            pid: None,
            process: None,
            cgroup: None,
        };
        for wrong in [
            "owner.pid=4294967296",
            "owner.process=%",
            "owner.process=%2",
            "owner.process=%zz",
            "owner.process=%+1",
            "owner.process=%FF",
            "owner.cgroup=system.slice",
            "owner.cgroup=",
            &format!("owner.process={}", "a".repeat(LONGEST_NAME + 1)),
        ] {
            let read = Owner::from_text(&format!("owner.uid=33 {wrong}"));
            assert_eq!(read.as_ref(), Some(&bare), "{wrong}");
        }
    }

    #[test]
    fn a_path_that_is_too_long_is_cut_as_everywhere() {
        let long = Owner {
            cgroup: Some("/deeper".repeat(9000).into()),
            ..nginx()
        };
        let text = long.to_string();
        assert!(text.len() < 4096, "{text}");
        assert_eq!(Owner::from_text(&text), Some(long.bounded()));
        let path = "/deeper".repeat(9000);
        let hostile = format!("owner.uid=33 owner.pid=812 owner.process=nginx owner.cgroup={path}");
        assert_eq!(Owner::from_text(&hostile), Some(long.bounded()));
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_and_harmless(
            uid: u32,
            pid: Option<u32>,
            process in proptest::option::of(proptest::collection::vec(any::<char>(), 0..12)),
            cgroup in proptest::option::of(proptest::collection::vec(any::<char>(), 0..99)),
        ) {
            let process = process.map(String::from_iter).map(Into::into);
            let cgroup = cgroup.map(|path| format!("/{}", String::from_iter(path)).into());
            let owner = Owner { uid, pid, process, cgroup };
            let text = owner.to_string();
            prop_assert!(text.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic()));
            prop_assert!(!text.contains(['"', '\'', '`']));
            prop_assert_eq!(Owner::from_text(&format!("a=b {text} c=d")), Some(owner.bounded()));
        }

        #[test]
        fn arbitrary_texts_never_panic_and_give_nothing_large(
            text in ".*",
            value in "[%0-9a-fA-F/é]*",
        ) {
            let hostile = format!("owner.uid=1 owner.process={value} owner.cgroup=/{value}");
            for text in [text, hostile] {
                if let Some(owner) = Owner::from_text(&text) {
                    prop_assert_eq!(owner.bounded(), owner);
                }
            }
        }
    }
}
