//! The first names that were read of a directory.

use std::collections::HashSet;
use std::ffi::{CStr, CString};

/// The first names that were read of a directory, by which it is noticed that it is read anew: on a tmpfs,
/// Linux 6.18 begins again when everything that was still to be read has been removed. All that is read
/// from then on was read before, or came meanwhile.
#[derive(Debug, Default)]
pub(crate) struct FirstNames(HashSet<CString>);

impl FirstNames {
    /// So many are known, as others may remove some of them.
    const MOST: usize = 32;

    /// Whether this name, the next one, is one of the first.
    pub(crate) fn come_again(&mut self, name: &CStr) -> bool {
        if matches!(name.to_bytes(), b"." | b"..") {
            return false;
        }
        let again = self.0.contains(name);
        if !again && self.0.len() < Self::MOST {
            self.0.insert(name.to_owned());
        }
        again
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_that_is_read_anew_is_noticed_though_its_first_file_is_gone() {
        let name = |number: usize| CString::new(format!("file-{number}")).unwrap();
        let mut first = FirstNames::default();
        for _ in 0..2 {
            assert!(!first.come_again(c"."));
            assert!(!first.come_again(c".."));
        }
        for number in 0..1000 {
            assert!(!first.come_again(&name(number)), "{number}");
        }
        assert!(!first.come_again(c"new"));
        assert!(first.come_again(&name(1)));
        assert_eq!(first.0.len(), FirstNames::MOST);
    }
}
