//! Groups on the command line: by name or by number.

use std::fs;

/// The groups of this host (group(5)).
const GROUPS: &str = "/etc/group";

/// Reads the name or the number of a group.
///
/// # Errors
/// The message, if it is neither.
pub(super) fn parse(text: &str) -> Result<u32, String> {
    if text.bytes().all(|byte| byte.is_ascii_digit()) {
        // The kernel takes the highest number for none.
        let number = text.parse().ok().filter(|&number| number != u32::MAX);
        return number.ok_or_else(|| "no group has such a number".to_owned());
    }
    let groups =
        fs::read_to_string(GROUPS).map_err(|error| format!("reading {GROUPS}: {error}"))?;
    find(&groups, text).ok_or_else(|| {
        format!("{GROUPS} has no such group; if it is defined elsewhere, give its number")
    })
}

/// The number of a group in the text of that file: `name:password:number:members`.
fn find(groups: &str, name: &str) -> Option<u32> {
    groups.lines().find_map(|line| {
        let mut fields = line.split(':');
        let is_it = fields.next() == Some(name);
        is_it.then(|| fields.nth(1)?.parse().ok()).flatten()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_is_found_by_name_and_taken_by_number() {
        assert_eq!(parse("0"), Ok(0));
        assert_eq!(parse("root"), Ok(0));
        assert_eq!(parse("65534"), Ok(65_534));
        let groups = "root:x:0:\nadm:x:4:syslog,me\nuploaders:x:998:\n";
        assert_eq!(find(groups, "uploaders"), Some(998));
        assert_eq!(find(groups, "me"), None);
    }

    #[test]
    fn what_is_no_group_is_refused() {
        for (text, said) in [
            ("", "no group"),
            ("4294967295", "no group"),
            ("no-such-group", "give its number"),
        ] {
            let message = parse(text).unwrap_err();
            assert!(message.contains(said), "{message}");
        }
    }
}
