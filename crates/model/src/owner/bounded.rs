//! How much of an owner a file or a row holds.

use std::borrow::Cow;

use super::Owner;

/// The longest name of a process: the kernel's 15 bytes, each of which may have become a replacement character.
pub(super) const LONGEST_NAME: usize = 15 * char::REPLACEMENT_CHARACTER.len_utf8();

/// The longest path of a cgroup, in bytes. That of a container in a pod has some 200; the kernel has no limit.
const LONGEST_PATH: usize = 1024;

/// What stands for the part of a path that is left out.
const LEFT_OUT: &str = "/…";

/// How long each part of a path may be where something between them is left out.
const HALF: usize = (LONGEST_PATH - LEFT_OUT.len()) / 2;

impl Owner {
    /// The same, as far as files and rows hold it: of a path of more than 1024 bytes, `/…` replaces names in the
    /// middle. Its beginning says whose cgroup it is below, and its end names the innermost container.
    #[must_use]
    pub fn bounded(&self) -> Self {
        let cgroup = self.cgroup.as_ref().map(|path| match path_of(path) {
            Cow::Borrowed(_whole) => path.clone(),
            Cow::Owned(short) => short.into(),
        });
        let name = self.process.as_deref().map(name_of);
        Self {
            uid: self.uid,
            pid: self.pid,
            process: name.map(Into::into),
            cgroup,
        }
    }
}

/// As much of a path as is kept.
pub(super) fn path_of(path: &str) -> Cow<'_, str> {
    let is_slash = |byte: &u8| *byte == b'/';
    let bytes = path.as_bytes();
    if bytes.len() <= LONGEST_PATH {
        return Cow::Borrowed(path);
    }
    let front = bytes.iter().take(HALF + 1).rposition(is_slash);
    let behind = bytes.len() - HALF;
    let back = bytes.iter().skip(behind).position(is_slash);
    let front = path.get(..front.unwrap_or(0)).unwrap_or_default();
    let back = back.and_then(|back| path.get(behind + back..));
    Cow::Owned([front, LEFT_OUT, back.unwrap_or_default()].concat())
}

/// As much of a name as is kept.
pub(super) fn name_of(name: &str) -> &str {
    let mut lengths = (0..=LONGEST_NAME.min(name.len())).rev();
    let whole_characters = lengths.find_map(|length| name.get(..length));
    whole_characters.unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn owner(process: &str, cgroup: &str) -> Owner {
        Owner {
            uid: 0,
            pid: None,
            process: Some(process.into()),
            cgroup: Some(cgroup.into()),
        }
    }

    #[test]
    fn what_hosts_have_stays_whole() {
        let long = format!("/{}", "a".repeat(LONGEST_PATH - 1));
        for path in ["/", "/system.slice/ssh.service", &long] {
            let whole = owner("vierzehnzeiche\u{fffd}", path);
            assert_eq!(whole.bounded(), whole);
        }
    }

    #[test]
    fn a_long_path_keeps_its_beginning_and_the_innermost_container() {
        let id = "0123456789abcdef".repeat(4);
        let deep = "/deeper".repeat(1000);
        let path =
            format!("/kubepods/pod12345678-9abc-def0-1234-56789abcdef0{deep}/docker-{id}.scope");
        let short = owner("a", &path).bounded();
        let (kept, whole) = (short.cgroup.as_deref().unwrap(), path.as_str());
        let (front, back) = kept.split_once(LEFT_OUT).unwrap();
        assert!(
            kept.len() <= LONGEST_PATH && kept.len() > LONGEST_PATH - 16,
            "{kept}"
        );
        assert!(
            whole.starts_with(&format!("{front}/")) && whole.ends_with(back),
            "{kept}"
        );
        assert!(
            front.ends_with("/deeper") && back.starts_with("/deeper/"),
            "{kept}"
        );
        assert_eq!(short.container(), Some(&*id));
        assert_eq!(
            short.pod().as_deref(),
            Some("12345678-9abc-def0-1234-56789abcdef0")
        );
    }

    #[test]
    fn names_are_whole_or_left_out() {
        let long = "a".repeat(LONGEST_PATH);
        for (path, kept) in [
            (format!("/{long}"), "/…".to_owned()),
            (format!("/x/{long}/y"), "/x/…/y".to_owned()),
            (format!("/{long}/y"), "/…/y".to_owned()),
            (format!("/x/{long}"), "/x/…".to_owned()),
            (format!("{long}a"), "/…".to_owned()),
        ] {
            assert_eq!(path_of(&path), kept);
        }
    }

    proptest! {
        #[test]
        fn whatever_it_was_it_is_short_and_stays_so(
            name in "\\PC{0,99}",
            parts in proptest::collection::vec("\\PC{0,200}", 0..50),
        ) {
            let path = format!("/{}", parts.join("/"));
            let short = owner(&name, &path).bounded();
            prop_assert!(short.process.as_deref().unwrap().len() <= LONGEST_NAME);
            prop_assert!(short.cgroup.as_deref().unwrap().len() <= LONGEST_PATH);
            prop_assert!(short.cgroup.as_deref().unwrap().starts_with('/'));
            prop_assert_eq!(short.bounded(), short);
        }
    }
}
